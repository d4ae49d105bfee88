// SPDX-License-Identifier: GPL-2.0-or-later
//
// Anonymous memory handed to the engine through its C interface, with one NVMe tier on the measured disk.
#include "memory_side.h"
#include "tidemark.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace tidemark::perf {

namespace {

constexpr std::uint64_t kMiB = 1ull << 20;

void log_line(void *, tidemark_log_level level, const char *sentence) {
    if (level != TIDEMARK_LOG_INFO)
        std::fprintf(stderr, "tidemark: %s\n", sentence);
}

tidemark_policy policy_of(const std::string &name) {
    if (name == "lru")
        return TIDEMARK_POLICY_LRU;
    if (name == "lfu")
        return TIDEMARK_POLICY_LFU;
    if (name == "fifo")
        return TIDEMARK_POLICY_FIFO;
    throw SideError{"unknown policy '" + name + "': lru, lfu or fifo"};
}

// The upper bound of the bucket that holds quantile q, in microseconds.
double quantile_us(const std::array<std::uint64_t, TIDEMARK_LATENCY_BUCKETS> &counts, double q) {
    std::uint64_t total = 0;
    for (const std::uint64_t count : counts)
        total += count;
    const double wanted = std::ceil(q * static_cast<double>(total));
    std::uint64_t seen = 0;
    for (std::size_t b = 0; b < counts.size(); ++b) {
        seen += counts[b];
        if (seen > 0 && static_cast<double>(seen) >= wanted)
            return std::exp2(static_cast<double>(b + 1) / 4) * 0.25;
    }
    return 0;
}

class TidemarkSide final : public MemorySide {
  public:
    explicit TidemarkSide(const SideOptions &options) : map_(options.size) {
        char msg[512] = "";
        tidemark_engine_options engine_options;
        tidemark_engine_options_init(&engine_options);
        engine_options.log = log_line;
        if (tidemark_engine_create(&engine_options, &engine_, msg, sizeof(msg)) != 0)
            throw SideError{msg};
        tidemark_backend_options backend_options;
        tidemark_backend_options_init(&backend_options);
        backend_options.id = "bench";
        backend_options.block_size = options.size;
        backend_options.config.dram_limit = options.dram_limit;
        backend_options.config.policy = policy_of(options.policy);
        backend_options.config.prefetch = options.prefetch;
        backend_options.config.learn = options.learn;
        backend_options.tier_count = 1;
        if (options.cold_age != 0)
            backend_options.config.cold_age = options.cold_age;
        if (!options.reclaim)
            backend_options.config.reclaim_slowdown = 0;
        const std::uint64_t tier_size = std::max(options.tier_size, options.size);
        backend_options.tiers[0] = {options.folder.c_str(), TIDEMARK_TIER_NVME,
                                    (tier_size + kMiB - 1) / kMiB * kMiB, 0};
        backend_options.event = on_event;
        backend_options.event_opaque = this;
        if (tidemark_backend_create(engine_, &backend_options, &backend_, msg, sizeof(msg)) != 0 ||
            tidemark_backend_attach(backend_, map_.words(), msg, sizeof(msg)) != 0) {
            release();
            throw SideError{msg};
        }
        start_ = query();
    }
    ~TidemarkSide() override { release(); }

    std::uint64_t *words() const override { return map_.words(); }
    void begin() override { start_ = query(); }
    bool failed() const override { return degraded_; }

    // The limit is cut as far as it goes, and raised again.
    void evict_all() override {
        const tidemark_config before = query().config;
        constexpr std::uint64_t kLeast = 16 * kMiB;
        set_limit(std::min(before.dram_limit, kLeast));
        const tidemark_stats cut = query();
        const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (query().dram_used > cut.config.dram_limit + cut.dram_slack) {
            if (std::chrono::steady_clock::now() > patience)
                throw SideError{"the memory did not leave DRAM when its limit was cut"};
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        set_limit(before.dram_limit);
    }
    void discard(std::size_t page, std::size_t count) override {
        must(tidemark_backend_discard(backend_, page * TIDEMARK_PAGE_SIZE,
                                      count * TIDEMARK_PAGE_SIZE),
             "pages could not be given up");
    }
    void record() override {
        char msg[512] = "";
        must(tidemark_backend_record_start(backend_, msg, sizeof(msg)), msg);
    }
    void save(const std::string &file) override {
        char msg[512] = "";
        std::uint64_t pages = 0;
        must(tidemark_backend_record_save(backend_, file.c_str(), &pages, msg, sizeof(msg)), msg);
    }
    void replay(const std::string &file) override;
    std::uint64_t dram_used() const override { return query().dram_used; }
    bool known_zero(std::size_t page) const override {
        return tidemark_backend_is_zero(backend_, page * TIDEMARK_PAGE_SIZE);
    }

    FaultCounts faults() const override {
        const tidemark_stats now = query();
        return {now.faults, now.faults_untouched, now.faults_staged, now.faults_stored};
    }

    DiskBytes disk_bytes(const Counters &) const override {
        const tidemark_stats now = query();
        return {now.tiers[0].read_bytes - start_.tiers[0].read_bytes,
                now.tiers[0].written_bytes - start_.tiers[0].written_bytes};
    }

    void describe(JsonObject &extra) const override {
        const tidemark_stats now = query();
        const auto count = [&](const char *name, std::uint64_t tidemark_stats::*field) {
            extra.number(name, now.*field - start_.*field);
        };
        count("faults", &tidemark_stats::faults);
        count("faults_untouched", &tidemark_stats::faults_untouched);
        count("faults_staged", &tidemark_stats::faults_staged);
        count("faults_stored", &tidemark_stats::faults_stored);
        count("faults_parked", &tidemark_stats::faults_parked);
        count("readahead_pages", &tidemark_stats::readahead_pages);
        count("readahead_used", &tidemark_stats::readahead_used);
        count("prefetch_pages", &tidemark_stats::prefetch_pages);
        count("evicted_pages", &tidemark_stats::evicted_pages);
        count("zero_elided", &tidemark_stats::zero_elided);
        count("clean_elided", &tidemark_stats::clean_elided);
        count("huge_moves", &tidemark_stats::huge_moves);
        count("move_busy", &tidemark_stats::move_busy);
        count("prefetch_declined", &tidemark_stats::prefetch_declined);
        extra.object("unasked", unasked(now));
        std::array<std::uint64_t, TIDEMARK_LATENCY_BUCKETS> latency;
        for (std::size_t b = 0; b < latency.size(); ++b)
            latency[b] = now.latency[b] - start_.latency[b];
        extra.number("service_p50_us", quantile_us(latency, 0.5));
        extra.number("service_p99_us", quantile_us(latency, 0.99));
        extra.number("dram_limit", now.config.dram_limit);
        extra.number("dram_used", now.dram_used);
        extra.number("dram_slack", now.dram_slack);
        extra.number("staged_pages", now.staged);
        extra.number("metadata_bytes", now.metadata_bytes);
        extra.boolean("armed", now.armed);
        extra.boolean("direct_io", now.tiers[0].direct_io);
    }

  private:
    static void on_event(void *opaque, const tidemark_event *event) {
        if (event->kind == TIDEMARK_EVENT_PAGE_HELD) {
            std::fprintf(stderr, "the page at offset %llu could not be read back (error %d)\n",
                         static_cast<unsigned long long>(event->offset), event->error);
            std::_Exit(3); // the thread that wants the page would wait for ever
        }
        if (event->kind == TIDEMARK_EVENT_TIER_DEGRADED) {
            static_cast<TidemarkSide *>(opaque)->degraded_ = true;
            std::fprintf(stderr, "the tier failed a write (error %d)\n", event->error);
        }
    }
    // Pages that came in before they were asked for, by who had them brought.
    JsonObject unasked(const tidemark_stats &now) const {
        static const char *const names[TIDEMARK_ORIGINS] = {
            "guest", "streams", "successors", "record", "request", "phases", "network"};
        JsonObject out;
        for (std::size_t o = 1; o < TIDEMARK_ORIGINS; ++o) {
            JsonObject one;
            one.number("issued", now.prefetch_issued[o] - start_.prefetch_issued[o]);
            one.number("used", now.prefetch_used[o] - start_.prefetch_used[o]);
            one.number("late", now.prefetch_late[o] - start_.prefetch_late[o]);
            one.number("wasted", now.prefetch_wasted[o] - start_.prefetch_wasted[o]);
            out.object(names[o], one);
        }
        return out;
    }
    static void must(int error, const std::string &sentence) {
        if (error != 0)
            throw SideError{sentence};
    }
    void set_limit(std::uint64_t limit) {
        char msg[512] = "";
        tidemark_config config = query().config;
        config.dram_limit = limit;
        must(tidemark_backend_configure(backend_, &config, TIDEMARK_CONFIG_DRAM_LIMIT, msg,
                                        sizeof(msg)),
             msg);
    }
    tidemark_stats query() const {
        tidemark_stats out{};
        out.size = sizeof(out);
        tidemark_backend_query(backend_, &out);
        return out;
    }
    void release() {
        tidemark_backend_destroy(backend_);
        tidemark_engine_destroy(engine_);
    }

    AnonymousMap map_;
    tidemark_engine *engine_ = nullptr;
    tidemark_backend *backend_ = nullptr;
    tidemark_stats start_{};
    std::atomic<bool> degraded_ = false;
};

// With prefetch off nothing is brought back unasked: that side shows what a replay is worth.
void TidemarkSide::replay(const std::string &file) {
    if (!query().config.prefetch)
        return;
    char msg[512] = "";
    std::uint64_t pages = 0;
    must(tidemark_backend_replay(backend_, file.c_str(), &pages, msg, sizeof(msg)), msg);
    while (query().prefetch_queued != 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

} // namespace

std::unique_ptr<MemorySide> make_tidemark_side(const SideOptions &options) {
    return std::make_unique<TidemarkSide>(options);
}

} // namespace tidemark::perf
