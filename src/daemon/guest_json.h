// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests as REST shows them. Sizes are bytes, times milliseconds since 1970 unless the name says
// otherwise; what is not known is null or left out.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace tidemark::daemon {

struct Guest;
struct GuestSettings;

nlohmann::json guest_to_json(const Guest &guest);
// The same, and what the operator said, the last events, and what QEMU itself answered.
nlohmann::json guest_in_full(const Guest &guest, const GuestSettings &from_operator);
// {"buckets", "samples": [{"at", "heat": [...], ...}]}
nlohmann::json guest_heat(const Guest &guest);

} // namespace tidemark::daemon
