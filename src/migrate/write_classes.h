// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a forecast needs of what was learnt page by page: pages that are written alike, put together.
#pragma once

#include "migrate/next_write.h"
#include "migrate/write_model.h"
#include "migrate/write_phases.h"

namespace tidemark {

// Looks at a bounded number of pages, evenly spread over the guest's memory. Nothing is pending in it yet.
WriteModel classes_of(const Writes &writes, std::optional<WriteCycle> cycle = {});

// Says which pages have to be sent. All; or, `left` of them, while a migration is on: any, if nothing was sent twice
// and pages go in the order of addresses; else those that are written most.
void pend_all(WriteModel &model);
void pend_any(WriteModel &model, double left);
void pend_hottest(WriteModel &model, double left);

} // namespace tidemark
