// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/arbiter.h"

#include "base/check.h"

#include <algorithm>
#include <cerrno>
#include <cmath>

namespace tidemark::daemon {
namespace {

constexpr double kMiB = 1 << 20;
constexpr double kPriceless = 1e9; // more than any fault costs
constexpr int kSlices = 8;
constexpr double kForgotten = 0.7; // of what it was: then a trade may have tried it

std::uint64_t down(std::uint64_t bytes) {
    return bytes - bytes % Arbiter::kGrain;
}

// The slopes of the hull over the points of a curve that starts at (0, 0): descending if concave, ascending if
// convex.
std::vector<DramEffect> hull(const std::vector<DramEffect> &curve, bool concave) {
    std::vector<DramEffect> kept{{0, 0}};
    for (const DramEffect &next : curve) {
        if (next.bytes <= kept.back().bytes) {
            continue;
        }
        while (kept.size() > 1) {
            const DramEffect &a = kept[kept.size() - 2], &b = kept.back();
            const double before = (b.faults - a.faults) / static_cast<double>(b.bytes - a.bytes);
            const double after =
                (next.faults - b.faults) / static_cast<double>(next.bytes - b.bytes);
            if (concave ? after < before : after > before) {
                break;
            }
            kept.pop_back();
        }
        kept.push_back(next);
    }
    return kept;
}

} // namespace

// One guest in this round.
struct Arbiter::Side {
    const GuestDemand *guest = nullptr;
    Past *past = nullptr;
    std::uint64_t floor = 0, most = 0, limit = 0;
    std::uint64_t forced_to = 0;             // the limit after the laws, before any trade
    std::uint64_t may_buy = 0, may_sell = 0; // bytes left of this round's step
    std::uint64_t may_want = 0;              // of this and the next
    double weight = 1;
    double gain = 0, loss = 0; // weighed faults a second for the next MiB
};

struct Arbiter::Piece {
    double slope = 0; // weighed faults a second for a MiB
    std::uint64_t bytes = 0;
    std::uint32_t side = 0;
};

struct Arbiter::Market {
    std::vector<Side> sides;
    std::vector<Piece> buys, sells; // dearest first, cheapest first
    std::vector<Piece> all_sells;   // without regard to steps
};

std::uint64_t Arbiter::max_step(std::uint64_t memory) {
    return down(std::max<std::uint64_t>(32 << 20, memory / 16));
}

// What the laws about a single guest say, and what its curves are worth.
void Arbiter::open(Market &market, std::span<const GuestDemand> demands) {
    market.sides.reserve(demands.size());
    for (const GuestDemand &guest : demands) {
        Past &past = past_[guest.id];
        TIDEMARK_CHECK(past.seen != round_); // a guest is listed once
        past.seen = round_;
        if (past.idle != guest.idle) {
            past = {.idle = guest.idle, .seen = round_};
        }
        Side side{.guest = &guest, .past = &past};
        side.most = std::max(down(guest.most), kGrain);
        side.floor = std::min(down(guest.floor + kGrain - 1), side.most);
        side.limit = std::clamp(guest.limit, side.floor, side.most);
        side.weight = guest.priority / 100.0 * (1 + std::clamp(guest.lost, 0.0, 1.0));
        market.sides.push_back(side);
    }
}

bool Arbiter::may_move(const Side &side, int direction) const {
    const Motion &motion = side.past->motion;
    if (motion.held_since != 0) {
        return false;
    }
    return motion.direction != -direction || round_ - motion.moved > kSettle;
}

void Arbiter::Worth::see(double worth) {
    remembered *= std::exp2(-1 / half_life);
    if (worth < remembered) {
        return;
    }
    const bool refuted = remembered < kForgotten * highest; // that it is worth less by now
    half_life = refuted ? std::min(2 * half_life, kForgetMost) : half_life;
    highest = refuted ? worth : std::max(highest, worth);
    remembered = worth;
}

// Each guest's pieces. Nobody sells for less than what it would pay itself.
void Arbiter::offer(Market &market) {
    for (std::uint32_t s = 0; s < market.sides.size(); ++s) {
        Side &side = market.sides[s];
        const GuestDemand &guest = *side.guest;
        const auto pieces = [&](const std::vector<DramEffect> &curve, bool gains) {
            std::vector<Piece> found;
            const auto kept = hull(curve, gains);
            for (std::size_t i = 1; i < kept.size(); ++i) {
                const std::uint64_t bytes = kept[i].bytes - kept[i - 1].bytes;
                const double slope = side.weight * (kept[i].faults - kept[i - 1].faults) * kMiB /
                                     static_cast<double>(bytes);
                found.push_back({std::max(slope, 0.0), bytes, s});
            }
            return found;
        };
        const auto buys = pieces(guest.known ? guest.gains : std::vector<DramEffect>{}, true);
        auto sells = pieces(guest.losses, false);
        side.gain = buys.empty() ? 0 : buys[0].slope;
        side.loss = sells.empty() ? 0 : sells[0].slope;
        const double priority = guest.priority / 100.0;
        Worth &worth = side.past->worth;
        worth.see(guest.idle || priority == 0 ? 0 : side.gain / priority);
        for (Piece &piece : sells) {
            const bool in_use = piece.slope >= kInUse * side.weight;
            piece.slope =
                std::max({piece.slope, side.gain, in_use ? worth.remembered * priority : 0});
        }
        market.all_sells.insert(market.all_sells.end(), sells.begin(), sells.end());
        // If the laws want more than it has told the price of: the rest goes last, from all alike.
        for (int slice = 1; slice <= kSlices; ++slice) {
            market.all_sells.push_back(
                {kPriceless * slice, (side.limit - side.floor) / kSlices + kGrain, s});
        }
        if (guest.known) {
            market.buys.insert(market.buys.end(), buys.begin(), buys.end());
            market.sells.insert(market.sells.end(), sells.begin(), sells.end());
        }
    }
    const auto dearer = [](const Piece &a, const Piece &b) {
        return a.slope != b.slope ? a.slope > b.slope : a.side < b.side;
    };
    const auto cheaper = [](const Piece &a, const Piece &b) {
        return a.slope != b.slope ? a.slope < b.slope : a.side < b.side;
    };
    std::stable_sort(market.buys.begin(), market.buys.end(), dearer);
    std::stable_sort(market.sells.begin(), market.sells.end(), cheaper);
    std::stable_sort(market.all_sells.begin(), market.all_sells.end(), cheaper);
}

// The budget is a law and a step is not: what is above it is cut at once, the cheapest first.
void Arbiter::enforce(Market &market, std::uint64_t budget) {
    std::uint64_t sum = 0;
    for (const Side &side : market.sides) {
        sum += side.limit;
    }
    for (const Piece &piece : market.all_sells) {
        if (sum <= budget) {
            break;
        }
        Side &side = market.sides[piece.side];
        const std::uint64_t over = (sum - budget + kGrain - 1) / kGrain * kGrain;
        const std::uint64_t cut = std::min({piece.bytes, over, side.limit - side.floor});
        side.limit -= cut;
        sum -= cut;
    }
}

void Arbiter::hand_out(Market &market, std::uint64_t room) {
    for (Piece &piece : market.buys) {
        Side &side = market.sides[piece.side];
        if (piece.slope < kWorthwhile || room < kGrain) {
            break;
        }
        const std::uint64_t bytes =
            std::min({down(piece.bytes), down(room), down(side.may_buy), side.most - side.limit});
        side.limit += bytes;
        side.may_buy -= bytes;
        piece.bytes -= bytes;
        room -= bytes;
    }
}

// Lowers who loses least, as far as others would clearly gain more. They are raised in a later round, when the DRAM has
// been left; what is on its way already serves the first of them.
void Arbiter::trade(Market &market, std::uint64_t on_its_way) {
    std::size_t sell = 0;
    for (Piece &piece : market.buys) {
        Side &buyer = market.sides[piece.side];
        std::uint64_t wanted =
            std::min({down(piece.bytes), down(buyer.may_want), buyer.most - buyer.limit});
        buyer.may_want -= wanted;
        const std::uint64_t served = std::min(wanted, on_its_way);
        on_its_way -= served;
        wanted -= served;
        while (wanted >= kGrain && sell < market.sells.size()) {
            Piece &offered = market.sells[sell];
            Side &seller = market.sides[offered.side];
            if (piece.slope < offered.slope * (1 + kHysteresis) + kWorthwhile) {
                return;
            }
            const std::uint64_t bytes =
                std::min({down(offered.bytes), wanted, down(seller.may_sell),
                          down(seller.limit - std::min(seller.floor, seller.limit))});
            seller.limit -= bytes;
            seller.may_sell -= bytes;
            offered.bytes -= bytes;
            wanted -= bytes;
            if (wanted >= kGrain) {
                ++sell;
            }
        }
    }
}

void Arbiter::Range::widen(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
}

bool Arbiter::Range::left_by(double value) const {
    return value > 2 * high + kWorthwhile || 2 * value + kWorthwhile < low;
}

// Who turned too often is left alone; of who turns, how far what it gains and loses goes.
void Arbiter::hold_or_release(const Side &side) {
    Motion &motion = side.past->motion;
    if (motion.held_since != 0) {
        const bool expired = round_ - motion.held_since >= kHold;
        if (expired || motion.gain.left_by(side.gain) || motion.loss.left_by(side.loss)) {
            motion = {.step = expired ? 4 * kGrain : 0};
        }
    } else if (motion.turns == 0) {
        motion.gain = {side.gain, side.gain};
        motion.loss = {side.loss, side.loss};
    } else {
        motion.gain.widen(side.gain);
        motion.loss.widen(side.loss);
    }
}

void Arbiter::count_move(const Side &side, int direction) {
    Motion &motion = side.past->motion;
    if (motion.direction != direction) {
        const bool turned = motion.direction != 0 && round_ - motion.began < kRun;
        motion.began = round_;
        motion.turns = turned ? motion.turns + 1 : 0;
        if (turned) {
            motion.step = std::max(down(motion.step / 2), kGrain);
        }
        if (motion.turns >= kTurns) {
            motion.held_since = round_;
        }
    } else {
        const std::uint64_t longest = max_step(side.guest->memory);
        motion.step = std::min(std::max(down(motion.step * 3 / 2), motion.step + kGrain), longest);
    }
    motion.direction = direction;
    motion.moved = round_;
}

void Arbiter::remember(Market &market) {
    for (const Side &side : market.sides) {
        hold_or_release(side);
        const int direction = (side.limit > side.forced_to) - (side.limit < side.forced_to);
        if (direction != 0) {
            count_move(side, direction);
        }
    }
    std::erase_if(past_, [&](const auto &entry) { return entry.second.seen != round_; });
}

std::vector<DramGrant> Arbiter::round(const HostBudget &budget,
                                      std::span<const GuestDemand> demands) {
    ++round_;
    Market market;
    open(market, demands);
    offer(market);
    enforce(market, budget.bytes);

    std::uint64_t limits = 0, held = 0;
    for (Side &side : market.sides) {
        side.forced_to = side.limit;
        const std::uint64_t longest = max_step(side.guest->memory);
        std::uint64_t &step = side.past->motion.step;
        step = step == 0 ? longest : std::min(step, longest);
        side.may_buy = may_move(side, 1) ? step : 0;
        // So that DRAM leaves while what left before is handed out.
        side.may_want = 2 * side.may_buy;
        // What the laws took counts as part of the step.
        const std::uint64_t taken = side.guest->limit - std::min(side.guest->limit, side.limit);
        side.may_sell = may_move(side, -1) ? step - std::min(step, taken) : 0;
        limits += side.limit;
        held += std::max(side.limit, side.guest->used);
    }
    if (!budget.pressed) {
        hand_out(market, budget.bytes - std::min(budget.bytes, held));
        trade(market, held - limits);
    }
    remember(market);

    std::vector<DramGrant> grants;
    grants.reserve(market.sides.size());
    for (const Side &side : market.sides) {
        grants.push_back({side.guest->id, side.limit});
    }
    return grants;
}

Result<std::uint64_t> admit(std::uint64_t budget, std::span<const GuestDemand> others,
                            const std::string &name, std::uint64_t floor, std::uint64_t wanted) {
    std::uint64_t floors = 0, limits = 0;
    for (const GuestDemand &guest : others) {
        floors += std::min(guest.floor, guest.most);
        limits += guest.limit;
    }
    const auto mib = [](std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; };
    if (floor > budget - std::min(budget, floors)) {
        return fail(ENOSPC, "the DRAM floor of guest '" + name + "' is " + mib(floor) +
                                ", but of the host's budget of " + mib(budget) + " the floors of " +
                                std::to_string(others.size()) + " other guests leave " +
                                mib(budget - std::min(budget, floors)) +
                                "; lower a floor, or raise 'dram' in [host]");
    }
    return std::max(floor, std::min(wanted, budget - std::min(budget, limits)));
}

} // namespace tidemark::daemon
