// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads our element, and notes everything that is wrong with it, a sentence each.
#pragma once

#include "domain/domain.h"
#include "domain/sentences.h"
#include "domain/xml.h"

namespace tidemark::domain {

// "line 3: "
std::string at_line(const xml::Element &element);

// Nothing if mode='off': then nothing else of it is looked at. Children must be in the namespace that
// the element itself is in.
std::optional<DomainElement> read_element(const xml::Element &element, Problems &problems);

} // namespace tidemark::domain
