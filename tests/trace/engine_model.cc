// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine_model.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tidemark::trace {

namespace {
// As in the engine.
constexpr std::uint32_t kBatch = 64;
constexpr std::uint32_t kCleanBatch = kRegionPages;
constexpr std::uint32_t kZeroWindow = 16, kLoadWindow = 32;
constexpr std::uint32_t kReserveMost = 1024;
constexpr std::uint32_t kScale = 65536; // 256 MiB
constexpr std::int32_t kThread = 0;

constexpr std::uint32_t kLeastBatch = 8;

// What is `pages` with kScale pages of DRAM.
std::uint32_t scaled(std::uint32_t pages, std::uint32_t dram) {
    const auto most = std::uint64_t{pages} * std::min(dram, kScale) / kScale;
    return std::max(kLeastBatch, static_cast<std::uint32_t>(most));
}
} // namespace

std::uint64_t ModelCounts::unasked() const {
    return std::accumulate(brought.begin(), brought.end(), std::uint64_t{0});
}

std::uint64_t ModelCounts::unused() const {
    return std::accumulate(wasted.begin(), wasted.end(), std::uint64_t{0});
}

EngineModel::EngineModel(std::uint32_t pages, ModelOptions options)
    : options_(std::move(options)), dram_(std::max(options_.dram, 1u)),
      batch_(scaled(kBatch, dram_)), clean_batch_(scaled(kCleanBatch, dram_)),
      reserve_low_(std::min(kReserveMost, dram_ / 64)), reserve_high_(reserve_low_ * 2),
      staged_target_(0), policy_(make_policy(options_.policy, dram_)),
      streams_([this](PageIndex page) { return raises_fault(page); }), successors_(pages),
      pages_(pages), heat_((pages + kRegionPages - 1) / kRegionPages) {
    const std::uint32_t share =
        options_.staged_share != 0 ? options_.staged_share : policy_->staged_share();
    staged_target_ = static_cast<std::uint32_t>(std::uint64_t{dram_} * share / 256);
}

bool EngineModel::raises_fault(PageIndex page) const {
    if (page.value >= pages_.size())
        return false;
    const State state = pages_[page.value].state;
    return state == State::stored || state == State::staged;
}

bool EngineModel::charge(bool keep_reserve) {
    if (keep_reserve && free_pages() < 1 + reserve_low_ / 2)
        return false;
    if (free_pages() == 0)
        make_room();
    ++charged_;
    return true;
}

void EngineModel::enter(std::uint32_t page, EnterReason reason) {
    Page &entry = pages_[page];
    entry.rank = policy_->enter(entry.rank, reason);
    entry.state = State::resident;
    ++resident_by_rank_[entry.rank];
}

void EngineModel::log(std::uint32_t page, AccessKind kind, Origin origin, bool write) {
    if (options_.predictors.empty())
        return;
    log_.push_back({PageIndex{page}, 1, kind, origin, write,
                    static_cast<std::uint32_t>(window_begin_ * 1000)});
    if (is_use(kind))
        ++heat_[page / kRegionPages];
}

void EngineModel::access(std::uint32_t page, bool write, double now) {
    end_windows(now);
    ++counts_.accesses;
    Page &entry = pages_[page];
    switch (entry.state) {
    case State::resident:
        if (std::exchange(entry.filled, false))
            ++counts_.first_touches;
        if (entry.origin != Origin::guest)
            mark_used(entry);
        return;
    case State::staged:
        if (std::exchange(entry.filled, false))
            ++counts_.first_touches;
        take_back(page, write);
        break;
    case State::stored:
        if (std::exchange(entry.filled, false))
            ++counts_.first_touches;
        else
            ++counts_.refaults;
        read(page, write);
        break;
    case State::untouched:
        ++counts_.first_touches;
        first_touch(page, write);
        break;
    }
    if (free_pages() < reserve_low_)
        make_room();
}

void EngineModel::mark_used(Page &page) {
    ++counts_.used[index_of(page.origin)];
    page.origin = Origin::guest;
}

// Faults ---------------------------------------------------------------------

void EngineModel::first_touch(std::uint32_t page, bool write) {
    const std::uint32_t window = streams_.look(PageIndex{page}, kZeroWindow).row();
    charge(false);
    enter(page, EnterReason::first_touch);
    log(page, AccessKind::first_touch, Origin::guest, write);
    std::uint32_t count = 1;
    for (; count < window && page + count < pages_.size() &&
           pages_[page + count].state == State::untouched && charge(true);
         ++count) {
        pages_[page + count].filled = true;
        enter(page + count, EnterReason::first_touch);
    }
    streams_.served(PageIndex{page}, count);
}

// On probation, and needed after all; with its neighbours on probation if the guest walks there.
void EngineModel::take_back(std::uint32_t page, bool write) {
    ++counts_.staged;
    Page &entry = pages_[page];
    log(page, entry.origin == Origin::guest ? AccessKind::staged : AccessKind::prefetched,
        entry.origin, write);
    if (entry.origin != Origin::guest)
        mark_used(entry);
    if (options_.successors) {
        expected_.clear();
        successors_.look(PageIndex{page}, kThread, 0, expected_);
        successors_.served(PageIndex{page}, kThread, {});
    }
    const std::uint32_t window = streams_.look(PageIndex{page}, kZeroWindow).row();
    std::uint32_t count = 0;
    do {
        --staged_;
        enter(page + count, EnterReason::refault_staged);
        ++count;
    } while (count < window && page + count < pages_.size() &&
             pages_[page + count].state == State::staged);
    streams_.served(PageIndex{page}, count);
}

void EngineModel::read(std::uint32_t page, bool write) {
    charge(false);
    enter(page, EnterReason::refault_stored);
    log(page, AccessKind::stored, Origin::guest, write);
    const Ahead ahead = options_.streams ? streams_.look(PageIndex{page}, kLoadWindow) : Ahead{};
    expected_.clear();
    if (options_.successors)
        successors_.look(PageIndex{page}, kThread, ahead.walks() ? 0 : kLoadWindow, expected_);
    for (std::uint32_t step = 1; ahead.walks() && step < ahead.pages; ++step) {
        const std::int64_t next = std::int64_t{page} + std::int64_t{step} * ahead.stride;
        if (next < 0 || next >= static_cast<std::int64_t>(pages_.size()))
            break;
        expected_.push_back(PageIndex{static_cast<std::uint32_t>(next)});
    }
    const Origin origin = ahead.walks() ? Origin::streams : Origin::successors;
    std::size_t taken = 0;
    for (; taken < expected_.size(); ++taken) {
        Page &entry = pages_[expected_[taken].value];
        if (entry.state != State::stored)
            continue;
        if (!charge(true))
            break;
        entry.origin = origin;
        ++counts_.brought[index_of(origin)];
        enter(expected_[taken].value, EnterReason::unasked);
    }
    streams_.served(PageIndex{page}, ahead.walks() ? static_cast<std::uint32_t>(taken) + 1 : 1);
    if (options_.successors)
        successors_.served(PageIndex{page}, kThread, std::span(expected_).first(taken));
}

// Eviction -------------------------------------------------------------------

// Rounds until the reserve is whole.
void EngineModel::make_room() {
    while (free_pages() < std::max(reserve_high_, 1u)) {
        const bool want_stage = staged_ < staged_target_ + batch_;
        const bool want_clean =
            staged_ >= staged_target_ || free_pages() < std::max(reserve_low_, 1u);
        bool progress = want_stage && stage();
        progress = (want_clean && clean()) || progress;
        if (!progress)
            return;
    }
}

// A batch of resident pages goes on probation, in address order from the hand on.
bool EngineModel::stage() {
    if (policy_->ageing_due())
        age();
    const std::uint8_t wanted = coldness_of(*policy_, resident_by_rank_, batch_);
    std::uint32_t found = 0;
    for (std::size_t seen = 0; seen < pages_.size() && found < batch_; ++seen) {
        const std::uint32_t page = hand_;
        hand_ = hand_ + 1 < pages_.size() ? hand_ + 1 : 0;
        Page &entry = pages_[page];
        if (entry.state != State::resident || policy_->coldness(entry.rank) > wanted)
            continue;
        --resident_by_rank_[entry.rank];
        entry.state = State::staged;
        staged_queue_.push_back(page);
        ++staged_;
        ++found;
    }
    return found != 0;
}

// Those longest on probation leave; also while fewer than the policy's share are there, if the reserve is below its
// low mark.
bool EngineModel::clean() {
    std::uint32_t left = 0;
    while (left < clean_batch_ && !staged_queue_.empty()) {
        const std::uint32_t page = staged_queue_.front();
        staged_queue_.pop_front();
        Page &entry = pages_[page];
        if (entry.state != State::staged)
            continue;
        entry.state = State::stored;
        if (entry.origin != Origin::guest)
            ++counts_.wasted[index_of(entry.origin)];
        log(page, entry.origin == Origin::guest ? AccessKind::left : AccessKind::wasted,
            entry.origin, false);
        entry.origin = Origin::guest;
        --staged_;
        --charged_;
        ++left;
        ++counts_.left;
    }
    return left != 0;
}

void EngineModel::age() {
    resident_by_rank_.fill(0);
    for (Page &page : pages_) {
        page.rank = policy_->age(page.rank);
        if (page.state == State::resident)
            ++resident_by_rank_[page.rank];
    }
}

// Prediction -----------------------------------------------------------------

void EngineModel::end_windows(double now) {
    while (!options_.predictors.empty() && now >= window_begin_ + options_.window_seconds) {
        const Window window{window_begin_, options_.window_seconds, log_, heat_};
        for (const Partner &partner : options_.predictors)
            partner.predictor->observe(window);
        window_begin_ += options_.window_seconds;
        log_.clear();
        std::fill(heat_.begin(), heat_.end(), 0.0F);
        for (const Partner &partner : options_.predictors)
            ask(partner);
    }
}

// At most half of DRAM for one window; what is expected makes room for itself.
void EngineModel::ask(const Partner &partner) {
    Predictor &predictor = *partner.predictor;
    if (partner.tell_room)
        partner.tell_room(free_pages());
    std::vector<Expectation> expected;
    predictor.expect(expected);
    std::uint32_t budget = dram_ / 2;
    for (const Expectation &one : expected) {
        if (one.confidence < options_.confidence)
            continue;
        for (PageIndex page = one.run.first;
             page < one.run.end() && page.value < pages_.size() && budget != 0;
             page = page.next()) {
            Page &entry = pages_[page.value];
            if (entry.state != State::stored)
                continue;
            charge(false);
            entry.origin = predictor.origin();
            ++counts_.brought[index_of(entry.origin)];
            enter(page.value, EnterReason::unasked);
            --budget;
        }
    }
    if (free_pages() < reserve_low_)
        make_room();
}

} // namespace tidemark::trace
