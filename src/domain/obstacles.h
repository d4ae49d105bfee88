// SPDX-License-Identifier: GPL-2.0-or-later
//
// Domains whose memory cannot be tiered, and why: QEMU would refuse them too, but less clearly.
#pragma once

#include "domain/sentences.h"
#include "domain/xml.h"

namespace tidemark::domain {

// One sentence for each thing in the way.
Problems find_obstacles(const xml::Element &domain);

} // namespace tidemark::domain
