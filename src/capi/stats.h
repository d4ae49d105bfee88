// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the engine reports, in the shapes of tidemark.h.
#pragma once

#include "capi/tidemark.h"
#include "engine/config.h"
#include "predict/learner.h"

namespace tidemark {

tidemark_config to_c(const BackendConfig &config);
void copy_report(const BackendReport &from, tidemark_stats &to);
void copy_profile(const Learner::Report &from, tidemark_profile &to);

} // namespace tidemark
