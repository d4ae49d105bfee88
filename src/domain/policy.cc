// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/policy.h"

namespace tidemark::domain {

std::string_view eviction_text(Eviction eviction) {
    switch (eviction) {
    case Eviction::lru:
        return "lru";
    case Eviction::lfu:
        return "lfu";
    case Eviction::fifo:
        return "fifo";
    }
    return "lru";
}

std::string_view tier_class_text(TierClass klass) {
    return klass == TierClass::qlc ? "qlc" : "nvme";
}

std::optional<Eviction> parse_eviction(std::string_view text) {
    for (const Eviction each : {Eviction::lru, Eviction::lfu, Eviction::fifo})
        if (text == eviction_text(each))
            return each;
    return std::nullopt;
}

std::optional<TierClass> parse_tier_class(std::string_view text) {
    for (const TierClass each : {TierClass::nvme, TierClass::qlc})
        if (text == tier_class_text(each))
            return each;
    return std::nullopt;
}

Policy Policy::or_else(const Policy &other) const {
    Policy both = *this;
    const auto take = [](auto &mine, const auto &theirs) {
        if (!mine)
            mine = theirs;
    };
    take(both.eviction, other.eviction);
    take(both.prefetch, other.prefetch);
    take(both.window, other.window);
    take(both.cold, other.cold);
    take(both.slowdown, other.slowdown);
    take(both.learn, other.learn);
    take(both.reuse, other.reuse);
    take(both.learn_writes, other.learn_writes);
    return both;
}

} // namespace tidemark::domain
