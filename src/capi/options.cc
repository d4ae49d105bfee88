// SPDX-License-Identifier: GPL-2.0-or-later
#include "capi/options.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <uuid/uuid.h>

namespace tidemark {

namespace {
constexpr std::uint64_t kMiB = 1ull << 20;
constexpr std::uint64_t kDramLeast = 16 * kMiB;
constexpr std::uint32_t kColdAgeMost = 2 * 24 * 3600; // PageEntry::stamp lasts for three days
constexpr std::uint32_t kSlowdownMost = 500;
constexpr std::uint32_t kWindowMost = 3600;
constexpr std::uint64_t kBlockMost = std::uint64_t{UINT32_MAX / 2} * kPageSize;

std::string size_text(std::uint64_t bytes) {
    if (bytes % kMiB == 0)
        return std::to_string(bytes / kMiB) + " MiB";
    return std::to_string(bytes) + " bytes";
}

Result<void> check_tiers(const tidemark_backend_options &options) {
    if (options.tier_count == 0)
        return fail(EINVAL, "tiers is empty: name at least one tier (path, class, capacity)");
    if (options.tier_count > TIDEMARK_MAX_TIERS)
        return fail(EINVAL, "tiers has " + std::to_string(options.tier_count) +
                                " entries; at most " + std::to_string(TIDEMARK_MAX_TIERS) +
                                " are possible");
    std::uint64_t capacity = 0;
    bool sizes_known = true;
    for (std::uint32_t i = 0; i < options.tier_count; ++i) {
        const tidemark_tier_options &tier = options.tiers[i];
        const std::string name = "tiers." + std::to_string(i);
        if (tier.path == nullptr || *tier.path == '\0')
            return fail(EINVAL, name + ".path is missing: give a directory, a new file or a block "
                                       "device");
        if (tier.tier_class != TIDEMARK_TIER_NVME && tier.tier_class != TIDEMARK_TIER_QLC)
            return fail(EINVAL, name + ".class must be nvme or qlc");
        if (tier.capacity % kMiB != 0)
            return fail(EINVAL, name + ".capacity is " + size_text(tier.capacity) +
                                    "; it must be a multiple of 1 MiB");
        if (tier.capacity / kPageSize >= UINT32_MAX)
            return fail(EINVAL, name + ".capacity is " + size_text(tier.capacity) +
                                    "; a tier can be at most 16 TiB");
        sizes_known = sizes_known && tier.capacity != 0;
        capacity += tier.capacity;
    }
    const std::uint64_t outside =
        options.block_size - std::min(options.block_size, options.config.dram_limit);
    if (sizes_known && capacity < outside)
        return fail(EINVAL, "the tiers hold " + size_text(capacity) +
                                " together, but size minus dram-limit is " + size_text(outside) +
                                ": raise a tier's capacity or dram-limit");
    return {};
}
} // namespace

Result<void> check_config(const tidemark_config &config, std::uint64_t block_size) {
    const std::uint64_t least = std::min(kDramLeast, block_size);
    if (config.dram_limit % kPageSize != 0)
        return fail(EINVAL, "dram-limit is " + size_text(config.dram_limit) +
                                "; it must be a multiple of 4096");
    if (config.dram_limit < least)
        return fail(EINVAL, "dram-limit is " + size_text(config.dram_limit) +
                                "; it must be at least " + size_text(least));
    if (config.policy > TIDEMARK_POLICY_FIFO)
        return fail(EINVAL, "eviction-policy must be lru, lfu or fifo");
    if (config.cold_age == 0 || config.cold_age > kColdAgeMost)
        return fail(EINVAL, "cold-age is " + std::to_string(config.cold_age) +
                                " s; it must be between 1 and " + std::to_string(kColdAgeMost));
    if (config.prefetch_window == 0 || config.prefetch_window > kWindowMost)
        return fail(EINVAL, "prefetch-window is " + std::to_string(config.prefetch_window) +
                                " s; it must be between 1 and " + std::to_string(kWindowMost));
    if ((config.predictors & ~kAllPredictors) != 0)
        return fail(EINVAL,
                    "predictors names one that there is not; there are streams, successors, "
                    "phases and network");
    if (config.reclaim_slowdown > kSlowdownMost)
        return fail(EINVAL, "reclaim-slowdown is " + std::to_string(config.reclaim_slowdown) +
                                " per mille; it must be at most " + std::to_string(kSlowdownMost));
    return {};
}

Result<void> check_options(const tidemark_backend_options &options) {
    if (options.id == nullptr)
        return fail(EINVAL, "id is missing");
    if (options.block_size == 0 || options.block_size % kPageSize != 0 ||
        options.block_size > kBlockMost)
        return fail(EINVAL, "size is " + size_text(options.block_size) +
                                "; it must be a multiple of 4096, more than 0 and at most 8 TiB");
    if (auto config = check_config(options.config, options.block_size); !config)
        return config;
    if (options.group != nullptr) {
        uuid_t uuid;
        if (uuid_parse(options.group, uuid) != 0)
            return fail(EINVAL, "group is '" + std::string(options.group) +
                                    "'; it must be a UUID such as "
                                    "7c0e5a4e-2f0b-4a3e-9d59-1f4a0d6b8c11");
    }
    return check_tiers(options);
}

BackendConfig to_engine(const tidemark_config &config) {
    return {config.dram_limit,      static_cast<PolicyKind>(config.policy),
            config.cold_age,        config.prefetch,
            config.prefetch_window, config.learn,
            config.predictors,      config.reclaim_slowdown};
}

} // namespace tidemark
