// SPDX-License-Identifier: GPL-2.0-or-later
//
// Anonymous memory handed to the engine through its C interface, with one NVMe tier on the measured disk.
#include "memory_side.h"
#include "tidemark.h"

#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>

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
        backend_options.tier_count = 1;
        backend_options.tiers[0] = {options.folder.c_str(), TIDEMARK_TIER_NVME,
                                    2 * ((options.size + kMiB - 1) / kMiB * kMiB)};
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
        count("evicted_pages", &tidemark_stats::evicted_pages);
        count("zero_elided", &tidemark_stats::zero_elided);
        count("clean_elided", &tidemark_stats::clean_elided);
        count("huge_moves", &tidemark_stats::huge_moves);
        count("move_busy", &tidemark_stats::move_busy);
        std::array<std::uint64_t, TIDEMARK_LATENCY_BUCKETS> latency;
        for (std::size_t b = 0; b < latency.size(); ++b)
            latency[b] = now.latency[b] - start_.latency[b];
        extra.number("service_p50_us", quantile_us(latency, 0.5));
        extra.number("service_p99_us", quantile_us(latency, 0.99));
        extra.number("dram_limit", now.config.dram_limit);
        extra.number("dram_used", now.dram_used);
        extra.number("dram_slack", now.dram_slack);
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

} // namespace

std::unique_ptr<MemorySide> make_tidemark_side(const SideOptions &options) {
    return std::make_unique<TidemarkSide>(options);
}

} // namespace tidemark::perf
