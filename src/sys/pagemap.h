// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which pages of this process are mapped, as the kernel sees it.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <vector>

namespace tidemark {

// One flag per page from `address` (page aligned) on: present in DRAM or in the host's swap.
Result<std::vector<bool>> read_pagemap(std::uint64_t address, std::uint32_t pages);

} // namespace tidemark
