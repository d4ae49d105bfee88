// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "daemon/similarity.h"

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace tidemark::daemon {

// What query-tiered-memory-sketch says about one backend; empty if it says nothing sensible.
ContentSketch sketch_in(const nlohmann::json &answer, const std::string &backend);

} // namespace tidemark::daemon
