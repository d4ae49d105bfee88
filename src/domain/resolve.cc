// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain/resolve.h"

#include "domain/group_id.h"
#include "domain/sentences.h"

#include <algorithm>

namespace tidemark::domain {

namespace {

constexpr std::uint64_t kTierMost = std::uint64_t{16} << 40; // the engine's, less than 2^32 pages

std::uint64_t rounded_up(std::uint64_t bytes) {
    return (bytes + kRegionBytes - 1) / kRegionBytes * kRegionBytes;
}

std::string file_of(const HostConfig &host) {
    return host.source.empty() ? std::string(kDefaultConfigPath) : host.source;
}

class Resolver {
  public:
    Resolver(const Domain &domain, const HostConfig &host)
        : domain_(domain), element_(*domain.element), host_(host), problems_(domain.obstacles) {}

    Resolution run() && {
        identity();
        if (domain_.memory == 0) {
            problem("the domain has no <memory>");
        } else {
            limit();
            floor();
            tiers();
        }
        affinity();
        return {std::move(out_), std::move(problems_)};
    }

  private:
    void problem(std::string sentence) { problems_.push_back(std::move(sentence)); }

    void identity() {
        out_.uuid = domain_.uuid;
        out_.name = domain_.name;
        out_.title = domain_.title;
        out_.memory = domain_.memory;
        out_.priority = element_.priority.value_or(host_.priority);
        out_.policy = element_.policy.or_else(host_.policy);
        out_.labels = element_.labels;
        out_.qmp = host_.vm_socket();
    }

    // Percent of the memory, in whole regions; never more than the memory.
    std::uint64_t share(const Amount &amount) const {
        return std::min(rounded_up(amount.of(domain_.memory)), domain_.memory);
    }

    void limit() {
        const Amount dram =
            element_.dram.value_or(host_.default_dram.value_or(Amount::percent(100)));
        // A host's default in bytes is for guests of any size; what the domain says is for this one.
        if (element_.dram && dram.of(domain_.memory) > domain_.memory)
            problem("dram of <memory> is '" + dram.text() + "', but the domain's memory is only " +
                    size_text(domain_.memory) + "; it must be at most that");
        out_.dram_limit = share(dram);
        if (out_.dram_limit < std::min(kDramLeast, domain_.memory))
            problem("dram of <memory> is '" + dram.text() + "', which is " +
                    size_text(dram.of(domain_.memory)) + " of " + size_text(domain_.memory) +
                    "; it must be at least " + size_text(kDramLeast));
    }

    void floor() {
        const Amount floor =
            element_.floor.value_or(host_.default_floor.value_or(Amount::percent(10)));
        if (element_.floor && floor.of(domain_.memory) > out_.dram_limit)
            problem("floor of <memory> is '" + floor.text() + "', which is more than dram, " +
                    size_text(out_.dram_limit) + "; it must be at most that");
        out_.dram_floor = std::min(std::max(share(floor), kDramLeast), out_.dram_limit);
    }

    void tiers() {
        if (element_.tiers.empty() && host_.tiers.empty())
            return problem("there is no tier to keep memory in: give the domain a <tier>, or the "
                           "host a [[tier]] in " +
                           file_of(host_));
        if (element_.tiers.empty() && host_.tiers.size() > kTiersMost)
            return problem("the host has " + std::to_string(host_.tiers.size()) +
                           " tiers, and a domain can use at most " + std::to_string(kTiersMost) +
                           ": name those that it is to use, each with a <tier name=''/>");
        if (element_.tiers.empty())
            for (const HostTier &tier : host_.tiers)
                add({tier.path, tier.tier_class, default_capacity(tier), tier.write_budget});
        const std::size_t before = problems_.size();
        for (const TierElement &tier : element_.tiers)
            if (tier.name.empty())
                add({tier.path, tier.tier_class, tier.capacity.value_or(plenty()),
                     tier.write_budget.value_or(0)});
            else
                host_tier(tier);
        if (problems_.size() == before)
            enough_room();
    }

    // Twice the memory: with room to spare, scattered pages are packed side by side.
    std::uint64_t plenty() const { return std::min(2 * domain_.memory, kTierMost - kRegionBytes); }

    std::uint64_t default_capacity(const HostTier &tier) const {
        return std::min(plenty(), tier.capacity.value_or(plenty()));
    }

    void host_tier(const TierElement &wanted) {
        const HostTier *tier = host_.find_tier(wanted.name);
        if (tier == nullptr) {
            std::vector<std::string> names;
            for (const HostTier &each : host_.tiers)
                names.push_back(in_quotes(each.name));
            return problem(
                "name of <tier> is " + in_quotes(wanted.name) + ", but this host has " +
                (names.empty() ? "no [[tier]] in " + file_of(host_) : "only " + listed(names)));
        }
        const std::uint64_t capacity = wanted.capacity.value_or(default_capacity(*tier));
        if (tier->capacity && capacity > *tier->capacity)
            return problem("capacity of <tier name='" + wanted.name + "'> is " +
                           size_text(capacity) + "; all of that tier is only " +
                           size_text(*tier->capacity));
        add({tier->path, tier->tier_class, capacity,
             wanted.write_budget.value_or(tier->write_budget)});
    }

    void add(ResolvedTier tier) {
        for (const ResolvedTier &other : out_.tiers)
            if (other.path == tier.path)
                return problem("two tiers of the domain are at " + in_quotes(tier.path) +
                               "; each must be at a place of its own");
        if (tier.capacity >= kTierMost)
            return problem("the tier at " + in_quotes(tier.path) + " has a capacity of " +
                           size_text(tier.capacity) + "; it must be less than 16 TiB");
        tier.capacity = rounded_up(tier.capacity);
        out_.tiers.push_back(std::move(tier));
    }

    void enough_room() {
        std::uint64_t capacity = 0; // at most 8 times 16 TiB
        for (const ResolvedTier &tier : out_.tiers)
            capacity += tier.capacity;
        // Down to the floor: the daemon may cut the limit that far.
        const std::uint64_t outside = domain_.memory - out_.dram_floor;
        if (capacity < outside)
            problem("the tiers hold " + size_text(capacity) +
                    " together, but memory minus floor is " + size_text(outside) +
                    ": raise a capacity or the floor");
    }

    // What the domain says goes before the host's rules.
    void affinity() {
        const Affinity &said = element_.affinity;
        if (said.kind == Affinity::Kind::group) {
            const auto uuid = normal_uuid(said.name);
            out_.group = uuid ? *uuid : group_id(said.name);
            out_.group_name = uuid ? "" : said.name;
            return;
        }
        out_.service = said.name;
        if (said.kind == Affinity::Kind::none)
            for (const Rule &rule : host_.rules)
                if (rule.matches(domain_.name, domain_.title, element_.labels)) {
                    out_.service = rule.service;
                    break;
                }
        if (!out_.service.empty())
            out_.group = service_id(out_.service);
    }

    const Domain &domain_;
    const DomainElement &element_;
    const HostConfig &host_;
    ResolvedDomain out_;
    Problems problems_;
};

} // namespace

Result<ResolvedDomain> resolve(const Domain &domain, const HostConfig &host) {
    if (!domain.element)
        return fail(EINVAL, "the domain has no <memory> of " + std::string(kNamespace));
    Resolution resolution = resolve_all(domain, host);
    if (!resolution.problems.empty())
        return tl::unexpected(as_error(resolution.problems));
    return std::move(resolution.resolved);
}

Resolution resolve_all(const Domain &domain, const HostConfig &host) {
    return Resolver(domain, host).run();
}

} // namespace tidemark::domain
