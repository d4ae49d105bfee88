// SPDX-License-Identifier: GPL-2.0-or-later
//
// Life of a backend, the DRAM budget, and finish(): the one place where a transit ends.
#include "engine/backend.h"

#include <algorithm>

namespace tidemark {

namespace {
constexpr std::uint32_t kReserveMost = 1024;       // pages: 4 MiB
constexpr std::uint32_t kRegionReserveMost = 4096; // while DRAM is used 2 MiB at a time
constexpr std::uint32_t kAheadDepth = 256;         // scattered slots of a region or two
constexpr std::uint64_t kSlackLeast = 4ull << 20;
} // namespace

Backend::Backend(std::string id, BackendConfig config, std::vector<std::unique_ptr<Tier>> tiers,
                 Listener listener)
    : id_(std::move(id)), listener_(std::move(listener)), tiers_(std::move(tiers)),
      config_(config) {
    for (std::size_t i = 0; i < tiers_.size(); ++i)
        tier_order_.push_back(i);
    std::stable_sort(tier_order_.begin(), tier_order_.end(), [this](std::size_t a, std::size_t b) {
        return tiers_[a]->tier_class() < tiers_[b]->tier_class();
    });
    tier_failed_at_.resize(tiers_.size());
}

Backend::~Backend() {
    {
        MutexLock lock(mutex_);
        stopping_ = true;
        work_.notify_all();
        mover_work_.notify_all();
        parked_work_.notify_all();
        ahead_work_.notify_all();
        learn_work_.notify_all();
        transit_done_.notify_all();
        room_.notify_all();
    }
    if (service_)
        service_->stop();
    threads_.clear(); // joins
}

Result<void> Backend::attach(std::unique_ptr<GuestMemory> memory, std::uint32_t pages) {
    memory_ = std::move(memory);
    pages_ = pages;
    Result<void> opened = open_loaders();
    if (opened)
        opened = open_queues();
    if (opened)
        opened = map_frames();
    if (!opened)
        return opened;
    {
        MutexLock lock(mutex_);
        table_ = PageTable(pages);
        successors_ = Successors(pages);
        if (config_.learn)
            log_.emplace(pages);
        policy_ = make_policy(config_.policy, pages);
        apply_limit();
        charged_ = buffer_pages();
    }
    threads_.emplace_back("tm-fault", [this] { service_main(); });
    threads_.emplace_back("tm-parked", [this] { parked_main(*parked_loader_); });
    threads_.emplace_back("tm-ahead", [this] { ahead_main(); });
    threads_.emplace_back("tm-evict", [this] { evictor_main(); });
    threads_.emplace_back("tm-move", [this] { mover_main(*mover_loader_); });
    MutexLock lock(mutex_);
    return config_.dram_limit < bytes_of(pages_) ? arm() : Result<void>{};
}

std::uint32_t Backend::buffer_pages() {
    return kDemands * Loader::dram_pages(kLoadWindow) + 2 * Loader::dram_pages(Loader::kPages) +
           Loader::dram_pages(Loader::kMostPages);
}

Result<void> Backend::open_loaders() {
    MutexLock lock(control_mutex_);
    for (std::unique_ptr<Loader> *place : {&parked_loader_, &mover_loader_, &control_loader_}) {
        const bool much = place == &mover_loader_;
        auto loader = Loader::open(tiers_, much ? Loader::kMostPages : Loader::kPages, true);
        if (!loader)
            return tl::unexpected<Error>(loader.error());
        *place = std::move(*loader);
    }
    for (Demand &demand : demands_) {
        auto loader = Loader::open(tiers_, kLoadWindow, false);
        if (!loader)
            return tl::unexpected<Error>(loader.error());
        demand.loader = std::move(*loader);
    }
    return {};
}

Result<void> Backend::open_queues() {
    std::vector<Disk *> disks;
    for (const auto &tier : tiers_) {
        auto queue = tier->disk().open_queue(Loader::kPages);
        if (!queue)
            return tl::unexpected<Error>(queue.error());
        write_queues_.push_back(std::move(*queue));
        if (queue = tier->disk().open_queue(kAheadDepth); !queue)
            return tl::unexpected<Error>(queue.error());
        ahead_queues_.push_back(std::move(*queue));
        pack_next_.push_back(Slot{pages_ < tier->capacity_slots() ? pages_ : 0}); // off the homes
        disks.push_back(&tier->disk());
    }
    auto service = memory_->open_service(disks, kDemands * kLoadWindow);
    if (!service)
        return tl::unexpected<Error>(service.error());
    service_ = std::move(*service);
    return {};
}

Result<void> Backend::map_frames() {
    std::vector<std::unique_ptr<Frame> *> frames{&unite_frame_};
    for (auto &arrival : arrivals_) {
        arrival = std::make_unique<Arrival>();
        frames.push_back(&arrival->frame);
    }
    for (std::unique_ptr<Frame> *place : frames) {
        auto frame = Frame::map();
        if (!frame)
            return tl::unexpected<Error>(frame.error());
        *place = std::move(*frame);
    }
    return {};
}

// From here on an access to a page that is not in R is a fault. Pages the guest has touched already are
// resident; the mutex keeps the service thread out until they are known.
Result<void> Backend::arm() {
    if (armed_)
        return {};
    if (auto registered = memory_->arm(); !registered)
        return registered;
    auto mapped = memory_->mapped_pages();
    if (!mapped)
        return tl::unexpected<Error>(mapped.error());
    armed_ = true;
    const std::uint16_t now = coarse_now();
    for (std::uint32_t i = 0; i < pages_; ++i)
        if ((*mapped)[i]) {
            ++charged_;
            finish_resident(PageIndex{i}, EnterReason::first_touch, now);
        }
    // Fully mapped regions are most likely huge pages: QEMU asks for them. Wrong is only slower.
    for (std::uint32_t i = 0; i + kRegionPages <= pages_; i += kRegionPages)
        if (RegionEntry &region = table_.region_of(PageIndex{i}); region.resident == kRegionPages)
            region.huge = memory_->huge_aligned();
    work_.notify_one();
    return {};
}

void Backend::apply_limit() {
    limit_pages_ = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(config_.dram_limit / kPageSize, pages_ + kRegionReserveMost * 4));
    set_reserve(regions_expected_);
    policy_->set_limit(limit_pages_);
    work_.notify_one();
    parked_work_.notify_one();
}

// Free DRAM serves nobody, so little is kept; but faults must not wait for eviction, and where they take
// 2 MiB at a time that is more.
void Backend::set_reserve(bool regions) {
    regions_expected_ = regions;
    reserve_low_ = regions ? std::min(kRegionReserveMost, limit_pages_ / 16)
                           : std::min(kReserveMost, limit_pages_ / 64);
    reserve_high_ = reserve_low_ * 2;
}

void Backend::expect_regions() {
    last_region_ = Clock::now();
    if (regions_expected_)
        return;
    set_reserve(true);
    work_.notify_one();
}

std::uint64_t Backend::slack_bytes() const {
    return std::max(kSlackLeast, config_.dram_limit / 50);
}

std::uint32_t Backend::free_pages() const {
    return limit_pages_ > charged_ ? limit_pages_ - charged_ : 0;
}

bool Backend::charge(std::uint32_t pages, bool keep_reserve) {
    const std::uint32_t free = free_pages();
    const bool enough = free >= pages + (keep_reserve ? reserve_low_ / 2 : 0);
    if (enough)
        charged_ += pages;
    if (free < pages + reserve_low_) {
        reserve_short_ = true;
        work_.notify_one();
    }
    return enough;
}

void Backend::uncharge(std::uint32_t pages) {
    TIDEMARK_CHECK(charged_ >= pages);
    charged_ -= pages;
    if (!parked_.empty())
        parked_work_.notify_one();
    if (prefetch_waits_)
        mover_work_.notify_one();
    if (remote_.delivering != 0 || placing_.waiters != 0)
        room_.notify_all();
}

void Backend::finish(PageIndex page, PageState state, std::uint16_t now) {
    PageEntry &entry = table_[page];
    table_.set_state(page, state);
    entry.stamp = now;
    if (state != PageState::staged && state != PageState::arrived) {
        // Not in DRAM for anyone, or where no use will be seen: on probation later on it is like any other page.
        entry.origin = Origin::guest;
        entry.clear(page_flags::watched);
    }
    if (transit_waiters_ != 0)
        transit_done_.notify_all();
    if (!entry.has(page_flags::wanted))
        return;
    entry.clear(page_flags::wanted);
    // Mapping the page woke whoever waited for it; every other end leaves them waiting still.
    const auto split = std::stable_partition(waiting_.begin(), waiting_.end(),
                                             [page](const Fault &f) { return f.page != page; });
    if (state != PageState::resident)
        parked_.insert(parked_.end(), split, waiting_.end());
    waiting_.erase(split, waiting_.end());
    if (!parked_.empty())
        parked_work_.notify_one();
}

void Backend::finish_resident(PageIndex page, EnterReason reason, std::uint16_t now) {
    if (recorder_ && reason != EnterReason::put_back)
        recorder_->note(page);
    std::uint8_t &rank = table_.rank(page);
    rank = policy_->enter(rank, reason);
    ++resident_by_rank_[rank];
    finish(page, PageState::resident, now);
}

// A huge page in R: all of it gets one rank, so that it is taken as a whole again.
void Backend::finish_region(PageRun region, EnterReason reason, std::uint16_t now) {
    std::uint8_t rank = 0;
    for (PageIndex page = region.first; page < region.end(); page = page.next())
        rank = policy_->enter(table_.rank(page), reason);
    resident_by_rank_[rank] += region.count;
    for (PageIndex page = region.first; page < region.end(); page = page.next()) {
        table_.rank(page) = rank;
        if (recorder_ && reason != EnterReason::put_back)
            recorder_->note(page);
        finish(page, PageState::resident, now);
    }
    table_.region_of(region.first).huge = true;
}

void Backend::leave_resident(PageIndex page, PageState state) {
    --resident_by_rank_[table_.rank(page)];
    table_.set_state(page, state);
}

void Backend::release_slot(PageIndex page) {
    PageEntry &entry = table_[page];
    if (!entry.slot.valid())
        return;
    tiers_[entry.tier()]->release(entry.slot);
    entry.slot = Slot{};
    entry.checksum = 0;
}

// S[page] holds bytes nobody needs any more: drop it with others, in one call, and uncharge it then.
// Part of a huge page is not given back by the kernel, so that is dropped as a whole.
void Backend::retire_shadow(PageIndex page) {
    PageEntry &entry = table_[page];
    TIDEMARK_CHECK(!entry.has(page_flags::shadow_stale));
    entry.clear(page_flags::shadow_busy);
    entry.set(page_flags::shadow_stale);
    RegionEntry &region = table_.region_of(page);
    if (!region.shadow_huge)
        add_stale({page, 1});
    else if (++region.stale == kRegionPages)
        add_stale(table_.region_run(page));
}

void Backend::add_stale(PageRun run) {
    if (!stale_shadows_.empty() && stale_shadows_.back().end() == run.first &&
        stale_shadows_.back().count + run.count < kRegionPages)
        stale_shadows_.back().count += run.count;
    else
        stale_shadows_.push_back(run);
    stale_pages_ += run.count;
    if (stale_pages_ >= 64)
        work_.notify_one();
}

// The ranks of one policy mean nothing to another: all pages start equal.
void Backend::rerank() {
    resident_by_rank_.fill(0);
    const std::uint8_t start = policy_->enter(0, EnterReason::first_touch);
    for (std::uint32_t i = 0; i < pages_; ++i) {
        table_.rank(PageIndex{i}) = start;
        if (table_[PageIndex{i}].state == PageState::resident)
            ++resident_by_rank_[start];
    }
}

// Units of 4 s: 16 bits last three days, longer than any cold age.
std::uint16_t Backend::coarse_now() const {
    return static_cast<std::uint16_t>((Clock::now() - started_) / kStampUnit);
}

double Backend::since_start() const {
    return std::chrono::duration<double>(Clock::now() - started_).count();
}

void Backend::post(Event event) {
    events_.push_back(event);
}

void Backend::deliver_events() {
    std::vector<Event> events;
    {
        MutexLock lock(mutex_);
        if (events_.empty())
            return;
        events.swap(events_);
    }
    for (const Event &event : events)
        if (listener_.event)
            listener_.event(event);
}

} // namespace tidemark
