// SPDX-License-Identifier: GPL-2.0-or-later
//
// One block of guest RAM: its page table, its DRAM budget and the threads that move its pages.
//
//    service thread    takes faults and serves them                      service.cc, fault_service.cc
//    parked server     serves faults that had to wait                    service.cc, fault_service.cc
//    evictor           keeps a free reserve: stages, drops, writes back  eviction.cc, writeback.cc
//    ahead thread      reads regions before the guest comes to them      ahead.cc
//    mover             demotes, promotes on request, compacts QLC        mover.cc
//    callers           configure, query, discard, read, resolve          control.cc
//
// Invariants
//  - mutex_ guards everything below it; no system call is made and no guest byte is touched under it
//    (exception: arming, and what must not overlap it). A page in transit belongs to one thread, which works on it unlocked.
//  - charged_ counts every page of DRAM the block uses (R, S, buffers) and is raised before the page
//    is. It passes limit_pages_ only when the limit has just been cut.
//  - Each transit ends in finish(), which hands waiting faults on. No other place wakes them.
#pragma once

#include "base/histogram.h"
#include "base/mutex.h"
#include "base/result.h"
#include "engine/arrival.h"
#include "engine/config.h"
#include "engine/loader.h"
#include "engine/page_table.h"
#include "engine/policy.h"
#include "engine/recorder.h"
#include "engine/streams.h"
#include "engine/successors.h"
#include "store/tier.h"
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

using Clock = std::chrono::steady_clock;

struct Fault {
    PageIndex page;
    std::int32_t thread_id = 0;
    Clock::time_point since;
    std::uint32_t need = 1; // pages of free DRAM it waits for, if parked
};

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
    // Queues a prefetch; false if too much is queued. to_dram: else from QLC up to NVMe.
    bool prefetch(PageRun run, bool to_dram);
    // To DRAM, in this order; all or nothing.
    bool prefetch(std::span<const PageRun> runs);
    // From now on, which pages come into DRAM and in what order; false if that is recorded already.
    bool start_recording();
    // nullopt if nothing was recorded. Empty is an answer, too.
    std::optional<std::vector<PageRun>> stop_recording();
    // Forgets the pages: DRAM and tier copies are gone on return, the next read gives zeros.
    void discard(PageRun run);
    // Copies one page out without promoting it; 0, EIO or EBADMSG.
    int read_page(PageIndex page, std::span<std::byte, kPageSize> out);
    bool known_zero(PageIndex page);
    // Held pages inside run: read again, or give up. Returns how many.
    std::uint64_t resolve(PageRun run, bool retry);
    bool thread_held(std::int32_t thread_id);
    std::uint64_t held_pages();

    const std::string &id() const { return id_; }
    std::uint32_t pages() const { return pages_; }
    // DRAM its buffers take, whatever the limit.
    static std::uint32_t buffer_pages() {
        return kDemands * Loader::dram_pages(kLoadWindow) + 3 * Loader::dram_pages(Loader::kPages);
    }

  private:
    static constexpr std::uint32_t kDemands = 8;     // demand reads under way at a time,
    static constexpr std::uint32_t kLoadWindow = 32; // with so many pages each
    // A fault waits so long for 2 MiB of DRAM, before less will do.
    static constexpr auto kRegionWait = std::chrono::milliseconds(20);
    struct Held {
        PageIndex page;
        int error;
        std::vector<std::int32_t> threads;
    };
    enum class Step : std::uint8_t {
        none,
        refill,
        zero_fill,
        region_fill,
        from_shadow,
        load,
        land,
        poison
    };
    struct Plan {
        Step step = Step::none;
        PageRun run;
        Arrival *arrival = nullptr;
        PageRun spare = {};
    };
    struct WriteItem {
        PageIndex page;
        std::uint64_t stored_checksum = 0; // of the copy in a slot, 0 if there is none
        std::uint64_t checksum = 0;        // of the bytes now
        Slot own_slot;                     // that copy's
        Slot slot;                         // of the bytes now
        std::uint8_t tier = 0;             // of own_slot, then of slot
        enum class Outcome : std::uint8_t {
            failed,
            zero,
            clean,
            written
        } outcome = Outcome::failed;
        bool owns_slot_in(std::size_t index) const { return own_slot.valid() && tier == index; }
    };
    struct WritePiece { // items [first, first + count) go to run
        SlotRun run;
        std::size_t first = 0, count = 0;
        bool in_place = false; // over their own slots
    };
    struct WriteBatch {
        std::size_t tier = 0;
        std::vector<WriteItem> items;
        std::vector<WritePiece> pieces;
        std::vector<IoRequest> requests; // one a piece
        std::size_t pending = 0;         // not finished
    };
    struct Demand { // a fault whose page is being read
        Fault fault;
        std::unique_ptr<Loader> loader;
        std::size_t pending = 0; // requests not finished; 0: free
    };
    struct PrefetchRequest {
        PageRun run;
        bool to_dram;
    };

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
    Plan plan_read(const Fault &fault, Loader &loader) TIDEMARK_REQUIRES(mutex_);
    void plan_load(const Fault &fault, Loader &loader, Ahead ahead) TIDEMARK_REQUIRES(mutex_);
    void expect_stream(PageIndex page, Ahead ahead) TIDEMARK_REQUIRES(mutex_);
    void add_load(PageIndex page, Loader &loader) TIDEMARK_REQUIRES(mutex_);
    static LoadItem item_of(PageIndex page, const PageEntry &entry);
    void execute_load(const Fault *fault, Loader &loader, EnterReason others);
    void land(Loader &loader, std::size_t first, std::size_t count, const Fault *fault,
              EnterReason others);
    void hold(PageIndex page, std::size_t tier, int error, const Fault &fault)
        TIDEMARK_REQUIRES(mutex_);
    void count_latency(const Fault &fault);

    // mapping.cc
    void map_in(PageRun run, const std::byte *bytes); // nullptr = zeros
    void move_in(PageRun run, std::byte *bytes, PageRun spare);
    std::uint32_t settle_mapping(PageRun run, RunResult result);
    void fill_region(PageRun region, PageRun spare, Frame &frame);
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
    std::uint8_t coldness_wanted() const TIDEMARK_REQUIRES(mutex_);
    void move_out(PageRun run);
    void put_back(PageIndex page) TIDEMARK_REQUIRES(mutex_);
    void split_shadow(PageRun region) TIDEMARK_REQUIRES(mutex_);
    void age_ranks() TIDEMARK_REQUIRES(mutex_);

    // writeback.cc
    bool clean_some();
    std::vector<WriteItem> take_staged() TIDEMARK_REQUIRES(mutex_);
    bool inspect(WriteBatch &batch);
    bool finish_writes(bool wait);
    void finish_write(IoRequest &request);
    void write_elsewhere(WriteBatch &batch);
    void write_rest(WriteBatch &batch, std::size_t tier);
    bool settle(std::span<const WriteItem> items);
    bool tier_usable(std::size_t tier);
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
    bool serve_prefetch(Loader &loader);
    bool take_prefetch(PrefetchRequest &request, Loader &loader) TIDEMARK_REQUIRES(mutex_);
    bool demote_some(Loader &loader);
    bool compact_some(Loader &loader);
    bool over_watermark(std::size_t tier) const;
    std::size_t relocate(Loader &loader, std::size_t to);
    std::size_t write_relocated(Loader &loader, std::size_t to, std::vector<Slot> &slots);
    bool collect_cold(Loader &loader, std::size_t from, std::uint16_t min_age)
        TIDEMARK_REQUIRES(mutex_);

    // control.cc
    void wait_still(PageIndex page) TIDEMARK_REQUIRES(mutex_);
    void discard_part(PageRun run);
    std::size_t tier_of_class(TierClass tier_class) const; // tiers_.size() if there is none

    const std::string id_;
    std::uint32_t pages_ = 0;
    const Listener listener_;
    std::vector<std::unique_ptr<Tier>> tiers_;
    std::vector<std::size_t> tier_order_; // indices, fastest class first
    std::unique_ptr<GuestMemory> memory_;
    const Clock::time_point started_ = Clock::now();
    LatencyHistogram latency_; // has its own atomics

    Mutex mutex_;
    CondVar work_;         // the evictor waits here
    CondVar mover_work_;   // the mover waits here
    CondVar parked_work_;  // the parked server waits here
    CondVar ahead_work_;   // the ahead thread waits here
    CondVar transit_done_; // callers that need a page out of transit wait here
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
    bool
        regions_expected_ TIDEMARK_GUARDED_BY(mutex_) = false; // the reserve is for 2 MiB at a time
    Clock::time_point last_region_ TIDEMARK_GUARDED_BY(mutex_); // that was mapped or read ahead
    std::uint32_t transit_waiters_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    PageIndex hand_ TIDEMARK_GUARDED_BY(mutex_);        // eviction sweep
    PageIndex demote_hand_ TIDEMARK_GUARDED_BY(mutex_); // demotion sweep
    PageIndex reclaim_hand_ TIDEMARK_GUARDED_BY(mutex_);
    PageIndex unite_hand_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint16_t demote_age_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::deque<PageIndex>
        staged_queue_ TIDEMARK_GUARDED_BY(mutex_); // oldest first; may hold leavers
    std::vector<PageRun> stale_shadows_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint32_t stale_pages_ TIDEMARK_GUARDED_BY(mutex_) = 0; // in them
    std::deque<Fault> parked_ TIDEMARK_GUARDED_BY(mutex_);
    std::vector<Fault> waiting_ TIDEMARK_GUARDED_BY(mutex_); // for a transit's end
    std::vector<Held> held_ TIDEMARK_GUARDED_BY(mutex_);
    Streams streams_ TIDEMARK_GUARDED_BY(mutex_);
    Successors successors_ TIDEMARK_GUARDED_BY(mutex_){0};
    std::vector<PageIndex>
        expected_ TIDEMARK_GUARDED_BY(mutex_); // of plan_load(), kept for its memory
    std::deque<Arrival *> ahead_queue_ TIDEMARK_GUARDED_BY(mutex_); // planned, not begun
    // 2 MiB of S each, huge, in DRAM (charged, marked stale) and of no use but to be filled again.
    std::vector<PageRun> spares_ TIDEMARK_GUARDED_BY(mutex_);
    std::uint64_t ahead_turn_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::uint64_t queued_prefetch_pages_ TIDEMARK_GUARDED_BY(mutex_) = 0;
    std::deque<PrefetchRequest> prefetch_queue_ TIDEMARK_GUARDED_BY(mutex_);
    std::optional<Recorder> recorder_ TIDEMARK_GUARDED_BY(mutex_);
    std::vector<Event> events_ TIDEMARK_GUARDED_BY(mutex_);
    Clock::time_point last_pressure_ TIDEMARK_GUARDED_BY(mutex_);
    Counters counters_ TIDEMARK_GUARDED_BY(mutex_);

    // Each is its phase's owner's, and the phases change under mutex_.
    std::array<std::unique_ptr<Arrival>, 6> arrivals_;
    // Used by the ahead thread alone.
    std::vector<std::unique_ptr<IoQueue>> ahead_queues_;
    std::unique_ptr<Frame> unite_frame_; // empty between uses

    // Used by the evictor thread alone. The queues go first: requests in flight point into batches.
    std::deque<std::unique_ptr<WriteBatch>> writes_; // oldest first
    std::vector<std::unique_ptr<IoQueue>> write_queues_;
    std::vector<Clock::time_point> tier_failed_at_;
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
