// SPDX-License-Identifier: GPL-2.0-or-later
//
// One block of guest RAM: its page table, its DRAM budget and the threads that move its pages.
//
//    service thread    takes faults and serves them                      service.cc, fault_service.cc
//    parked server     serves faults that had to wait                    service.cc, fault_service.cc
//    evictor           keeps a free reserve: stages, drops, writes back  eviction.cc, writeback.cc, cold.cc
//    ahead thread      reads regions before the guest comes to them      ahead.cc
//    mover             demotes, serves the prefetch queue, compacts QLC  mover.cc, prefetch.cc
//    callers           configure, query, discard, read, resolve, learn   control.cc, learning.cc, cold_reader.h
//                      take pages over from another host                 postcopy.cc
//
// Invariants
//  - mutex_ guards everything below it; no system call is made and no guest byte is touched under it
//    (but for arming, and what must not overlap it; copies of pages in DRAM, but not in R). A page in transit belongs to one thread, which works on it unlocked.
//  - charged_ counts every page of DRAM the block uses (R, S, buffers) and is raised before the page
//    is. It passes limit_pages_ only when the limit has just been cut.
//  - Each transit ends in finish(), which hands waiting faults on. No other place wakes them.
#pragma once

#include "base/histogram.h"
#include "base/mutex.h"
#include "base/result.h"
#include "engine/access_log.h"
#include "engine/config.h"
#include "engine/content_sketch.h"
#include "engine/page_queue.h"
#include "engine/page_table.h"
#include "engine/placing.h"
#include "engine/policy.h"
#include "engine/prefetch_queue.h"
#include "engine/reclaim.h"
#include "engine/recorder.h"
#include "engine/remote.h"
#include "engine/streams.h"
#include "engine/successors.h"
#include "engine/transit.h"
#include "sys/guest_memory.h"
#include "sys/thread.h"

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tidemark {

class Backend {
  public:
    Backend(std::string id, BackendConfig config, std::vector<std::unique_ptr<Tier>> tiers,
            Listener listener);
    ~Backend();
    Backend(const Backend &) = delete;
    Backend &operator=(const Backend &) = delete;

    // Takes the memory over, starts the threads and arms the block if the limit asks for it.
    Result<void> attach(std::unique_ptr<GuestMemory> memory, std::uint32_t pages);

    Result<void> configure(const BackendConfig &config);
    BackendConfig config();
    BackendReport report();
    BackendGlance glance();
    // Queues a prefetch of these, in this order; all or nothing. nullopt: too much is queued. The ticket cancels it.
    std::optional<std::uint64_t> prefetch(std::span<const PageRun> runs,
                                          const PrefetchTerms &terms);
    // 0: all there is. Returns how many pages will not be brought.
    std::uint64_t cancel_prefetch(std::uint64_t ticket);
    // From now on, which pages come into DRAM or are used there, in what order; false if that is recorded already.
    bool start_recording();
    // nullopt if nothing was recorded. Empty is an answer, too.
    std::optional<std::vector<PageRun>> stop_recording();
    // Accesses since the last call, in their order; returns how many were lost because nobody asked in time.
    // Waits until there are many, or for so long.
    std::uint64_t take_accesses(std::vector<Access> &accesses, std::chrono::milliseconds patience);
    void wake_learner();
    // Per 2 MiB: pages mapped, and pages on probation.
    void by_region(std::vector<std::uint16_t> &resident, std::vector<std::uint16_t> &probation);
    // Of the pages whose checksums are known: they have a copy in a tier.
    ContentSketch content_sketch();
    double seconds_attached() const { return since_start(); }
    // Forgets the pages: DRAM and tier copies are gone on return, the next read gives zeros.
    void discard(PageRun run);
    // Copies one page out without promoting it; 0, EIO or EBADMSG.
    int read_page(PageIndex page, std::span<std::byte, kPageSize> out);
    bool known_zero(PageIndex page);
    // The bytes (nullptr: zeros) of a page of a guest that comes from another host. Waits for DRAM.
    Placed place(PageIndex page, const std::byte *bytes, Warmth warmth,
                 std::chrono::milliseconds patience = kPlacePatience);
    PlaceCounters end_placing();
    void erase(); // forgets all pages, and has the disks forget them
    // One of temperature:: a page; empty while nothing is known.
    std::vector<std::uint8_t> temperatures();
    // Held pages inside run: read again, or give up. Returns how many.
    std::uint64_t resolve(PageRun run, bool retry);
    bool thread_held(std::int32_t thread_id);
    std::uint64_t held_pages();

    const std::string &id() const { return id_; }
    std::uint32_t pages() const { return pages_; }
    // DRAM its buffers take, whatever the limit.
    static std::uint32_t buffer_pages();

  private:
    friend class ColdReader;
    friend class Postcopy;
    friend class ReadOn;
    static constexpr std::uint32_t kDemands = 8;     // demand reads under way at a time,
    static constexpr std::uint32_t kLoadWindow = 32; // with so many pages each

    // backend.cc: arming, the DRAM budget, the end of a transit
    Result<void> open_loaders();
    Result<void> open_queues();
    Result<void> map_frames();
    Result<void> arm() TIDEMARK_REQUIRES(mutex_);
    bool charge(std::uint32_t pages, bool keep_reserve) TIDEMARK_REQUIRES(mutex_);
    void uncharge(std::uint32_t pages) TIDEMARK_REQUIRES(mutex_);
    std::uint32_t free_pages() const TIDEMARK_REQUIRES(mutex_);
    // now: coarse_now(), asked once for many pages.
    void finish(PageIndex page, PageState state, std::uint16_t now) TIDEMARK_REQUIRES(mutex_);
    void finish_resident(PageIndex page, EnterReason reason, std::uint16_t now)
        TIDEMARK_REQUIRES(mutex_);
    void finish_region(PageRun region, EnterReason reason, std::uint16_t now)
        TIDEMARK_REQUIRES(mutex_);
    void leave_resident(PageIndex page, PageState state) TIDEMARK_REQUIRES(mutex_);
    void release_slot(PageIndex page) TIDEMARK_REQUIRES(mutex_);
    void retire_shadow(PageIndex page) TIDEMARK_REQUIRES(mutex_);
    void add_stale(PageRun run) TIDEMARK_REQUIRES(mutex_);
    void apply_limit() TIDEMARK_REQUIRES(mutex_);
    void set_reserve(bool regions) TIDEMARK_REQUIRES(mutex_);
    void expect_regions() TIDEMARK_REQUIRES(mutex_);
    std::uint64_t slack_bytes() const TIDEMARK_REQUIRES(mutex_);
    void rerank() TIDEMARK_REQUIRES(mutex_);
    std::uint16_t coarse_now() const;
    // now: coarse_now(), as in finish().
    static std::uint16_t age_of(const PageEntry &entry, std::uint16_t now) {
        return static_cast<std::uint16_t>(now - entry.stamp);
    }
    double since_start() const;
    std::uint64_t today() const { return static_cast<std::uint64_t>(since_start() / 86400); }
    void post(Event event) TIDEMARK_REQUIRES(mutex_);
    void deliver_events() TIDEMARK_EXCLUDES(mutex_);

    // service.cc
    void service_main();
    Demand *free_demand();
    void start_demand(Demand &demand);
    void demand_read(IoRequest &request);
    void parked_main(Loader &loader);
    void park(Fault fault, std::uint32_t need) TIDEMARK_REQUIRES(mutex_);
    std::deque<Fault>::iterator next_parked() TIDEMARK_REQUIRES(mutex_);

    // fault_service.cc
    // True: loader.items are to be read, the fault's own page first.
    bool serve(const Fault &fault, Loader &loader);
    Plan plan_fault(const Fault &fault, Loader &loader) TIDEMARK_REQUIRES(mutex_);
    Plan plan_zero_fill(const Fault &fault) TIDEMARK_REQUIRES(mutex_);
    Plan plan_take_back(const Fault &fault) TIDEMARK_REQUIRES(mutex_);
    bool may_fill_region(PageRun region, bool stream) TIDEMARK_REQUIRES(mutex_);
    bool may_move_back(PageRun region) TIDEMARK_REQUIRES(mutex_);
    void see_used(const Fault &fault) TIDEMARK_REQUIRES(mutex_);
    void walked(PageIndex page, std::uint32_t pages, std::uint32_t read = 0)
        TIDEMARK_REQUIRES(mutex_);
    void count_latency(const Fault &fault, EnterReason reason);

    // demand.cc
    Plan plan_read(const Fault &fault, Loader &loader) TIDEMARK_REQUIRES(mutex_);
    void plan_load(const Fault &fault, Loader &loader, Ahead ahead) TIDEMARK_REQUIRES(mutex_);
    void expect_stream(PageIndex page, Ahead ahead) TIDEMARK_REQUIRES(mutex_);
    void add_load(PageIndex page, Loader &loader, Origin origin) TIDEMARK_REQUIRES(mutex_);
    static LoadItem item_of(PageIndex page, const PageEntry &entry);
    void execute_load(const Fault *fault, Loader &loader, EnterReason others);
    void land(Loader &loader, std::size_t first, std::size_t count, const Fault *fault,
              EnterReason others);
    void hold(PageIndex page, std::size_t tier, int error, const Fault &fault)
        TIDEMARK_REQUIRES(mutex_);

    // mapping.cc
    void map_in(PageRun run, const std::byte *bytes); // nullptr = zeros
    void move_in(PageRun run, std::byte *bytes, PageRun spare);
    std::uint32_t settle_mapping(PageRun run, RunResult result);
    void fill_region(PageRun region, PageRun spare, Frame &frame);
    void move_back(PageRun region);
    bool take_spare(PageRun &spare) TIDEMARK_REQUIRES(mutex_);
    bool keep_spare(PageRun spare) TIDEMARK_REQUIRES(mutex_);
    void give_spare(PageRun spare) TIDEMARK_REQUIRES(mutex_);
    void spare_moved(PageRun spare) TIDEMARK_REQUIRES(mutex_);
    void drop_spares() TIDEMARK_REQUIRES(mutex_);
    bool unite_region();
    PageRun take_scattered() TIDEMARK_REQUIRES(mutex_);

    // ahead.cc
    void request_ahead(PageIndex from) TIDEMARK_REQUIRES(mutex_);
    void plan_ahead(PageRun region) TIDEMARK_REQUIRES(mutex_);
    Arrival *find_arrival(PageIndex page) TIDEMARK_REQUIRES(mutex_);
    Arrival *idle_arrival() TIDEMARK_REQUIRES(mutex_);
    void ahead_main();
    void release_unused();
    void forget_arrival(const Arrival &arrival) TIDEMARK_REQUIRES(mutex_);

    // arrival.cc
    void take_arrival_pages(Arrival &arrival) TIDEMARK_REQUIRES(mutex_);
    void start_ahead(Arrival &arrival);
    static bool reads_between(const Arrival &arrival, PageIndex first, PageIndex last);
    void add_read(Arrival &arrival, std::size_t i);
    void finish_read(IoRequest &request);
    void verify_arrival(Arrival &arrival);
    void settle_arrival(Arrival &arrival);
    Plan plan_landing(const Fault &fault) TIDEMARK_REQUIRES(mutex_);
    void walk_on(Arrival &arrival, const Fault &fault) TIDEMARK_REQUIRES(mutex_);
    void land_arrival(Arrival &arrival, const Fault *fault);
    void end_arrival(Arrival &arrival, std::uint32_t landed, bool moved) TIDEMARK_REQUIRES(mutex_);
    static std::byte *arrival_bytes(const Arrival &arrival, PageIndex page);

    // eviction.cc
    void evictor_main();
    bool eviction_due() const TIDEMARK_REQUIRES(mutex_);
    bool evict_some();
    bool drop_stale_shadows();
    std::uint32_t staged_target() const TIDEMARK_REQUIRES(mutex_);
    bool stage_some(std::uint32_t want);
    std::vector<PageRun> select_victims(std::uint32_t want) TIDEMARK_REQUIRES(mutex_);
    bool whole_region_cold(PageRun region, std::uint8_t wanted) TIDEMARK_REQUIRES(mutex_);
    void take_region(PageRun region) TIDEMARK_REQUIRES(mutex_);
    void move_out(PageRun run);
    void put_back(PageIndex page) TIDEMARK_REQUIRES(mutex_);
    void split_shadow(PageRun region) TIDEMARK_REQUIRES(mutex_);
    void age_ranks() TIDEMARK_REQUIRES(mutex_);
    void move_out_all(std::span<const PageRun> runs);

    // cold.cc
    void reclaim_cold();
    void clean_cold();
    bool reclaim_interrupted();
    std::uint16_t half_cold_age() const;
    std::uint16_t oldest_staged_age() TIDEMARK_REQUIRES(mutex_);
    std::uint32_t probe_next_region(); // pages put on probation
    bool cold_resident(PageIndex page, std::uint16_t wanted, std::uint16_t now)
        TIDEMARK_REQUIRES(mutex_);

    // learning.cc
    void log_access(PageRun run, AccessKind kind, Origin origin, bool write)
        TIDEMARK_REQUIRES(mutex_);
    void note_access(const Access &access) TIDEMARK_REQUIRES(mutex_);
    std::uint32_t log_time() const;
    void log_came_along(PageRun run, PageIndex used) TIDEMARK_REQUIRES(mutex_);
    void log_leaving(PageIndex page, std::uint32_t ms) TIDEMARK_REQUIRES(mutex_);
    std::uint64_t &issued(Origin origin) TIDEMARK_REQUIRES(mutex_);
    bool follows(Origin origin) const TIDEMARK_REQUIRES(mutex_);

    // writeback.cc
    bool clean_some(std::uint16_t min_age = 0);
    std::vector<WriteItem> take_staged(PageQueue &queue, std::uint16_t min_age)
        TIDEMARK_REQUIRES(mutex_);
    bool inspect(WriteBatch &batch);
    bool finish_writes(bool wait);
    void finish_write(IoRequest &request);
    void write_elsewhere(WriteBatch &batch);
    void write_rest(WriteBatch &batch, std::size_t tier);
    bool settle(std::span<const WriteItem> items);
    bool tier_usable(std::size_t tier);
    std::size_t tier_for(bool forced);
    void tier_failed(std::size_t tier, int error);
    void tier_degraded(std::size_t tier, int error);
    void tier_worked(std::size_t tier);
    std::uint32_t reclaim_clean_slots(std::uint32_t want);

    // placement.cc
    void start_writes(WriteBatch &batch, std::size_t tier);
    std::size_t neighbours(const WriteBatch &batch, std::size_t first, std::size_t end) const;
    std::size_t part_scattered(WriteBatch &batch) const;
    std::size_t place_home(WriteBatch &batch, std::size_t first, std::size_t end);
    void place_packed(WriteBatch &batch, std::size_t first, std::uint32_t least);
    IoRequest request_for(SlotRun run, std::span<const WriteItem> items) const;

    // mover.cc
    void mover_main(Loader &loader);
    bool demote_some(Loader &loader);
    bool compact_some(Loader &loader);
    bool over_watermark(std::size_t tier) const;
    std::size_t relocate(Loader &loader, std::size_t to);
    std::size_t write_relocated(Loader &loader, std::size_t to, std::vector<Slot> &slots);
    bool collect_cold(Loader &loader, std::size_t from, std::uint16_t min_age)
        TIDEMARK_REQUIRES(mutex_);

    // prefetch.cc, by the mover's thread
    bool serve_prefetch(Loader &loader);
    bool prefetch_pays(const PrefetchQueue::Order &order) TIDEMARK_REQUIRES(mutex_);
    bool take_prefetch(PrefetchQueue::Order &order, Loader &loader) TIDEMARK_REQUIRES(mutex_);
    void bring_in(Loader &loader, const PrefetchTerms &terms);
    bool stage_loaded(Loader &loader, std::size_t first, std::size_t count,
                      Clock::time_point until);
    void release_watched() TIDEMARK_REQUIRES(mutex_);

    // place.cc
    PlaceStep plan_place(PageIndex page, bool zero, Warmth warmth, Clock::time_point until)
        TIDEMARK_REQUIRES(mutex_);
    Placed carry_out(PageIndex page, const std::byte *bytes, PlaceStep step, Warmth warmth);
    bool put_bytes(PageIndex page, const std::byte *bytes, bool shadow);
    std::array<std::uint8_t, 256> temperature_by_rank() TIDEMARK_REQUIRES(mutex_);

    // control.cc
    void wait_still(PageIndex page) TIDEMARK_REQUIRES(mutex_);
    void discard_part(PageRun run, PageState to);
    std::size_t tier_of_class(TierClass tier_class) const; // tiers_.size() if there is none

    const std::string id_;
    std::uint32_t pages_ = 0;
    const Listener listener_;
    std::vector<std::unique_ptr<Tier>> tiers_;
    std::vector<std::size_t> tier_order_; // indices, fastest class first
    std::unique_ptr<GuestMemory> memory_;
    const Clock::time_point started_ = Clock::now();
    LatencyHistogram latency_; // has its own atomics
    // That guests waited in all for pages that had left.
    std::atomic<std::uint64_t> stored_wait_ns_{0}, staged_wait_ns_{0};
    std::atomic<std::uint32_t> demands_pending_{0}; // reads the guest waits for

    Mutex mutex_;
    CondVar work_, mover_work_, parked_work_, ahead_work_; // the threads of those names wait here
    CondVar learn_work_, transit_done_; // who takes accesses; who needs a page out of transit
    CondVar room_;                      // who delivers or places pages waits here for DRAM
    BackendConfig config_ TIDEMARK_GUARDED_BY(mutex_);
    PageTable table_ TIDEMARK_GUARDED_BY(mutex_){0};
    std::unique_ptr<EvictionPolicy> policy_ TIDEMARK_GUARDED_BY(mutex_);
    std::array<std::uint32_t, 256> resident_by_rank_ TIDEMARK_GUARDED_BY(mutex_){};
    bool armed_ TIDEMARK_GUARDED_BY(mutex_) = false;
    bool stopping_ TIDEMARK_GUARDED_BY(mutex_) = false;
    std::uint32_t limit_pages_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint32_t charged_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint32_t reserve_low_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint32_t reserve_high_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    bool staging_ TIDEMARK_GUARDED_BY(mutex_) = false;       // a thread is in stage_some()
    bool reserve_short_ TIDEMARK_GUARDED_BY(mutex_) = false; // since the evictor last filled it up
    bool regions_expected_ TIDEMARK_GUARDED_BY(mutex_) = false; // so the reserve is for 2 MiB
    Clock::time_point last_region_ TIDEMARK_GUARDED_BY(mutex_); // that was mapped or read ahead
    std::uint32_t transit_waiters_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    PageIndex hand_ TIDEMARK_GUARDED_BY(mutex_);        // eviction sweep
    PageIndex demote_hand_ TIDEMARK_GUARDED_BY(mutex_); // demotion sweep
    PageIndex reclaim_hand_ TIDEMARK_GUARDED_BY(mutex_);
    PageIndex unite_hand_ TIDEMARK_GUARDED_BY(mutex_);
    PageIndex cold_hand_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint16_t demote_age_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    PageQueue staged_queue_ TIDEMARK_GUARDED_BY(mutex_); // oldest first; may hold leavers
    Placing placing_ TIDEMARK_GUARDED_BY(mutex_);
    std::deque<Watched> watched_queue_ TIDEMARK_GUARDED_BY(mutex_); // prefetched to S; likewise
    std::vector<PageRun> stale_shadows_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint32_t stale_pages_ TIDEMARK_GUARDED_BY(mutex_) = 0; // in them
    std::deque<Fault> parked_ TIDEMARK_GUARDED_BY(mutex_);
    std::vector<Fault> waiting_ TIDEMARK_GUARDED_BY(mutex_); // for a transit's end
    std::vector<Held> held_ TIDEMARK_GUARDED_BY(mutex_);
    RemotePages remote_ TIDEMARK_GUARDED_BY(mutex_);
    Streams streams_ TIDEMARK_GUARDED_BY(mutex_){[this](PageIndex page) TIDEMARK_REQUIRES(mutex_) {
        const PageState state = table_[page].state;
        return state == PageState::stored || on_probation(state);
    }};
    Successors successors_ TIDEMARK_GUARDED_BY(mutex_){0};
    ReadOnState read_on_ TIDEMARK_GUARDED_BY(mutex_);
    std::vector<PageIndex> expected_ TIDEMARK_GUARDED_BY(mutex_);   // plan_load()'s, kept
    std::deque<Arrival *> ahead_queue_ TIDEMARK_GUARDED_BY(mutex_); // planned, not begun
    // 2 MiB of S each, huge, in DRAM (charged, marked stale) and of no use but to be filled again.
    std::vector<PageRun> spares_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint64_t ahead_turn_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    PrefetchQueue prefetch_queue_ TIDEMARK_GUARDED_BY(mutex_);
    bool prefetch_waits_ TIDEMARK_GUARDED_BY(mutex_) = false;  // the mover, for DRAM
    ProbationSeen probation_seen_ TIDEMARK_GUARDED_BY(mutex_); // when probation_worth_ was made
    double slowdown_ TIDEMARK_GUARDED_BY(mutex_) = 0;          // reclaim_'s, for callers
    float probation_worth_ TIDEMARK_GUARDED_BY(mutex_) = 0;    // share of those used after all
    std::optional<AccessLog> log_ TIDEMARK_GUARDED_BY(mutex_);
    std::optional<Recorder> recorder_ TIDEMARK_GUARDED_BY(mutex_);
    std::vector<Event> events_ TIDEMARK_GUARDED_BY(mutex_);
    Clock::time_point last_pressure_ TIDEMARK_GUARDED_BY(mutex_);
    Counters counters_ TIDEMARK_GUARDED_BY(mutex_);

    // Each is its phase's owner's, and the phases change under mutex_.
    std::array<std::unique_ptr<Arrival>, 8> arrivals_;
    std::vector<std::unique_ptr<IoQueue>> ahead_queues_; // both the ahead thread's alone
    std::unique_ptr<Frame> unite_frame_;                 // empty between uses

    // Used by the evictor thread alone. The queues go first: requests in flight point into batches.
    std::deque<std::unique_ptr<WriteBatch>> writes_; // oldest first
    std::vector<std::unique_ptr<IoQueue>> write_queues_;
    std::vector<Clock::time_point> tier_failed_at_;
    Reclaim reclaim_;
    double reclaim_tick_ = 0, evicted_at_ = 0; // since_start()
    std::vector<Slot> pack_next_; // per tier: behind the last run scattered pages were packed into

    // Used by the service thread alone. The queue goes first, too.
    std::array<Demand, kDemands> demands_;
    std::unique_ptr<ServiceQueue> service_;
    std::unique_ptr<Loader> parked_loader_, mover_loader_; // their threads'
    Mutex control_mutex_; // one reader of cold pages at a time; above mutex_
    std::unique_ptr<Loader> control_loader_ TIDEMARK_GUARDED_BY(control_mutex_);
    std::vector<Thread> threads_; // last member: joined first
};

} // namespace tidemark
