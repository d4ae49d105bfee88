// SPDX-License-Identifier: GPL-2.0-or-later
#include "exact.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

namespace tidemark::trace {

namespace {

constexpr std::uint32_t kNever = UINT32_MAX;

std::uint32_t pages_of(Pages accesses) {
    return accesses.empty() ? 0 : *std::max_element(accesses.begin(), accesses.end()) + 1;
}

// Sums of prefixes of an array of counts, both read and changed in logarithmic time (Fenwick 1994).
class Sums {
  public:
    explicit Sums(std::size_t size) : tree_(size + 1) {}
    void add(std::size_t at, std::int32_t count) {
        for (std::size_t i = at + 1; i < tree_.size(); i += i & (~i + 1))
            tree_[i] += count;
    }
    std::int64_t before(std::size_t at) const {
        std::int64_t sum = 0;
        for (std::size_t i = at; i > 0; i -= i & (~i + 1))
            sum += tree_[i];
        return sum;
    }

  private:
    std::vector<std::int32_t> tree_;
};

} // namespace

std::uint32_t footprint(Pages accesses) {
    std::vector<bool> seen(pages_of(accesses));
    std::uint32_t count = 0;
    for (const std::uint32_t page : accesses) {
        count += seen[page] ? 0 : 1;
        seen[page] = true;
    }
    return count;
}

LruCurve::LruCurve(Pages accesses) {
    std::vector<std::uint32_t> last(pages_of(accesses), kNever);
    Sums latest(accesses.size()); // 1 at the last access so far of each page
    std::vector<std::uint64_t> at_distance;
    for (std::uint32_t now = 0; now < accesses.size(); ++now) {
        std::uint32_t &before = last[accesses[now]];
        if (before != kNever) {
            const auto distance =
                static_cast<std::size_t>(latest.before(now) - latest.before(before));
            if (distance >= at_distance.size())
                at_distance.resize(distance + 1);
            ++at_distance
                [distance]; // it hits with room for that many pages, the page itself among them
            latest.add(before, -1);
        }
        latest.add(now, 1);
        before = now;
    }
    beyond_.assign(at_distance.size() + 1, 0);
    for (std::size_t room = at_distance.size(); room-- > 0;)
        beyond_[room] =
            beyond_[room + 1] + (room + 1 < at_distance.size() ? at_distance[room + 1] : 0);
}

std::uint64_t LruCurve::refaults(std::uint32_t dram) const {
    return dram < beyond_.size() ? beyond_[dram] : 0;
}

std::uint64_t fifo_refaults(Pages accesses, std::uint32_t dram) {
    std::vector<bool> seen(pages_of(accesses)), resident(seen.size());
    std::deque<std::uint32_t> queue;
    std::uint64_t refaults = 0;
    for (const std::uint32_t page : accesses) {
        if (resident[page])
            continue;
        refaults += seen[page] ? 1 : 0;
        seen[page] = resident[page] = true;
        queue.push_back(page);
        if (queue.size() > dram) {
            resident[queue.front()] = false;
            queue.pop_front();
        }
    }
    return refaults;
}

// A page's weight at time t is w * 2^-(t - last) / half_life. All decay alike, so pages keep their order between
// accesses, and log2(w) + last / half_life can stand for it.
std::uint64_t lfu_refaults(Pages accesses, std::uint32_t dram, double half_life) {
    struct Known {
        double weight = 0;
        double key = 0;
        std::uint32_t last = 0;
        bool resident = false;
    };
    using Entry = std::pair<double, std::uint32_t>; // key, page
    std::vector<Known> known(pages_of(accesses));
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>>
        coldest; // keys may be old: too low
    std::uint64_t refaults = 0;
    for (std::uint32_t now = 0; now < accesses.size(); ++now) {
        const std::uint32_t page = accesses[now];
        Known &of = known[page];
        if (!of.resident) {
            refaults += of.weight > 0 ? 1 : 0;
            while (coldest.size() >= dram) {
                const auto [key, victim] = coldest.top();
                coldest.pop();
                if (known[victim].key > key)
                    coldest.push({known[victim].key, victim});
                else
                    known[victim].resident = false;
            }
        }
        of.weight = of.weight * std::exp2(-static_cast<double>(now - of.last) / half_life) + 1;
        of.last = now;
        of.key = std::log2(of.weight) + now / half_life;
        if (!std::exchange(of.resident, true))
            coldest.push({of.key, page});
    }
    return refaults;
}

std::uint64_t static_refaults(Pages accesses, std::uint32_t dram) {
    std::vector<std::uint64_t> uses(pages_of(accesses));
    for (const std::uint32_t page : accesses)
        ++uses[page];
    std::vector<std::uint32_t> by_uses(uses.size());
    std::iota(by_uses.begin(), by_uses.end(), 0u);
    std::sort(by_uses.begin(), by_uses.end(),
              [&uses](std::uint32_t a, std::uint32_t b) { return uses[a] > uses[b]; });
    std::vector<bool> stays(uses.size()), seen(uses.size());
    for (std::size_t i = 0; i + 1 < dram && i < by_uses.size(); ++i)
        stays[by_uses[i]] = true;
    std::uint32_t other = kNever; // in the one place
    std::uint64_t refaults = 0;
    for (const std::uint32_t page : accesses) {
        if (stays[page] || page == other)
            continue;
        refaults += seen[page] ? 1 : 0;
        seen[page] = true;
        other = page;
    }
    return refaults;
}

Belady::Belady(Pages accesses) : accesses_(accesses), next_(accesses.size(), kNever) {
    std::vector<std::uint32_t> later(pages_of(accesses), kNever);
    for (std::size_t i = accesses.size(); i-- > 0;) {
        next_[i] = later[accesses[i]];
        later[accesses[i]] = static_cast<std::uint32_t>(i);
    }
}

std::uint64_t Belady::refaults(std::uint32_t dram) const {
    std::vector<bool> seen(pages_of(accesses_));
    std::vector<std::uint32_t> due(seen.size()); // next use of a resident page, 0 if not resident
    std::priority_queue<std::pair<std::uint32_t, std::uint32_t>>
        farthest; // entries whose use is past stay, below all others
    std::uint32_t resident = 0;
    std::uint64_t refaults = 0;
    for (std::size_t now = 0; now < accesses_.size(); ++now) {
        const std::uint32_t page = accesses_[now];
        if (due[page] == 0) {
            refaults += seen[page] ? 1 : 0;
            seen[page] = true;
            while (resident >= dram) {
                due[farthest.top().second] = 0;
                farthest.pop();
                --resident;
            }
            ++resident;
        }
        due[page] = next_[now];
        farthest.push({next_[now], page});
    }
    return refaults;
}

} // namespace tidemark::trace
