// SPDX-License-Identifier: GPL-2.0-or-later
//
// Checks of what a caller asks for, each failure a sentence that names the property, the value and
// what would be accepted. Property names are those of QEMU's memory-backend-tiered.
#pragma once

#include "base/result.h"
#include "capi/tidemark.h"
#include "engine/config.h"

namespace tidemark {

Result<void> check_config(const tidemark_config &config, std::uint64_t block_size);
Result<void> check_options(const tidemark_backend_options &options);
BackendConfig to_engine(const tidemark_config &config);

} // namespace tidemark
