// SPDX-License-Identifier: GPL-2.0-or-later
#include "predict/learner.h"

#include "base/check.h"
#include "predict/sealed_bytes.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace tidemark {

namespace {

constexpr double kWindow = 0.25;              // seconds
constexpr std::size_t kWindowMost = 1u << 18; // accesses: 4 MiB, in the worst of windows
// Pages a second that forecasts may have read: half of what a fast disk gives. What does not pay is declined by
// the engine all the same.
constexpr double kBandwidth = 131072;
constexpr Seal kSeal{"TMLEARN\n", 1, "file of what was learnt"};

Outcomes outcomes_of(const PrefetchCounters &counters) {
    Outcomes outcomes;
    for (std::size_t origin = 0; origin < kOrigins; ++origin)
        outcomes[origin] = {counters.used[origin], counters.late[origin], counters.wasted[origin]};
    return outcomes;
}

} // namespace

Learner::Learner(Backend &backend)
    : backend_(backend), writes_taken_((backend.pages() + kRegionPages - 1) / kRegionPages),
      writes_(writes_taken_.size()), profiler_(backend.pages()), phases_(backend.pages()),
      tournament_(backend.pages(), kBandwidth) {
    {
        MutexLock lock(mutex_);
        tournament_.add(phases_);
        on_ = backend_.config().learn;
        look_ahead(backend_.config().prefetch_window);
    }
    began_ = backend_.seconds_attached();
    thread_.emplace("tm-learn", [this] { main(); });
}

Learner::~Learner() {
    {
        MutexLock lock(mutex_);
        stopping_ = true;
    }
    backend_.wake_learner();
}

void Learner::main() {
    while (gather()) {
        std::vector<Order> orders;
        {
            MutexLock lock(mutex_);
            on_ = backend_.config().learn;
            own_bytes_ = (window_.capacity() + taken_.capacity()) * sizeof(Access);
            if (on_)
                orders = learn();
            else
                began_ = backend_.seconds_attached();
            cpu_seconds_ = thread_cpu_seconds();
        }
        order(orders);
    }
}

bool Learner::gather() {
    window_.clear();
    lost_ = 0;
    for (;;) {
        {
            MutexLock lock(mutex_);
            if (stopping_)
                return false;
        }
        const double left = began_ + kWindow - backend_.seconds_attached();
        if (left <= 0)
            return true;
        lost_ += backend_.take_accesses(
            taken_, std::chrono::milliseconds(static_cast<int>(left * 1000) + 1));
        const std::size_t room = std::min(kWindowMost - window_.size(), taken_.size());
        window_.insert(window_.end(), taken_.begin(),
                       taken_.begin() + static_cast<std::ptrdiff_t>(room));
        lost_ += taken_.size() - room;
    }
}

Residency Learner::residency(const BackendGlance &report) {
    backend_.by_region(resident_, probation_);
    const auto pages = [&report](PageState state) {
        return report.pages[static_cast<std::size_t>(state)];
    };
    Residency known;
    known.watching = report.armed;
    known.resident = resident_;
    known.staged = probation_;
    known.resident_pages = pages(PageState::resident);
    known.staged_pages = pages(PageState::staged) + pages(PageState::writing);
    known.stored_pages = pages(PageState::stored);
    known.dram_limit_pages = report.config.dram_limit / kPageSize;
    return known;
}

std::vector<Order> Learner::learn() {
    const BackendGlance report = backend_.glance();
    const double now = backend_.seconds_attached();
    profiler_.note(window_);
    take_writes();
    profiler_.note_lost(lost_);
    const Residency known = residency(report);
    profiler_.tick(now, known);
    const std::uint32_t allowed = report.config.prefetch ? report.config.predictors : 0;
    look_ahead(report.config.prefetch_window);
    for (const Origin origin : {Origin::phases, Origin::network})
        if (((allowed ^ allowed_) & bit(origin)) != 0)
            tournament_.enable(origin, (allowed & bit(origin)) != 0);
    allowed_ = allowed;
    const auto limit = static_cast<std::uint32_t>(report.config.dram_limit / kPageSize);
    phases_.set_room(limit);
    // Its reserve is not free: it is there for the guest's own faults.
    const auto taken = static_cast<std::uint32_t>(known.dram_pages()) + limit / 16;
    network_->set_room(limit - std::min(limit, taken));
    if (lost_ != 0)
        tournament_.lost();
    const Window window{began_, now - began_, window_, profiler_.window_heat()};
    std::vector<Order> orders = tournament_.step(window, outcomes_of(report.counters.prefetch));
    profiler_.close_window();
    began_ = now;
    return orders;
}

void Learner::note_writes(std::span<const std::uint16_t> regions) {
    MutexLock lock(writes_mutex_);
    writes_told_ = true;
    for (std::size_t r = 0; r < std::min(regions.size(), writes_.size()); ++r)
        writes_[r] = static_cast<std::uint16_t>(
            std::min<std::uint32_t>(kRegionPages, std::uint32_t{writes_[r]} + regions[r]));
}

// That none was written is worth knowing, too.
void Learner::take_writes() {
    std::fill(writes_taken_.begin(), writes_taken_.end(), std::uint16_t{0});
    {
        MutexLock lock(writes_mutex_);
        if (!std::exchange(writes_told_, false))
            return;
        writes_.swap(writes_taken_);
    }
    for (std::size_t r = 0; r < writes_taken_.size(); ++r)
        profiler_.note_writes(static_cast<std::uint32_t>(r), writes_taken_[r]);
}

// What a network has learnt is good for its own horizon only.
void Learner::look_ahead(std::uint32_t seconds) {
    const std::uint32_t horizon = std::clamp(seconds, Network::kShortest, Network::kLongest);
    if (horizon == horizon_)
        return;
    auto network = Network::make(backend_.pages(), horizon);
    TIDEMARK_CHECK(network); // the horizon is one it takes
    tournament_.add(**network);
    network_ = std::move(*network);
    horizon_ = horizon;
}

// Orders of one origin and time go as one, in their order.
void Learner::order(std::span<const Order> orders) {
    std::vector<PageRun> runs;
    for (std::size_t i = 0; i < orders.size(); ++i) {
        runs.push_back(orders[i].run);
        const Order &one = orders[i];
        if (i + 1 < orders.size() && orders[i + 1].origin == one.origin &&
            orders[i + 1].until == one.until && orders[i + 1].confidence == one.confidence)
            continue;
        PrefetchTerms terms;
        terms.origin = one.origin;
        terms.confidence = one.confidence;
        terms.until = Clock::now() +
                      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                          std::clamp(one.until - backend_.seconds_attached(), 0.0, 86400.0)));
        backend_.prefetch(runs, terms); // refused: too much is queued, and that is answer enough
        runs.clear();
    }
}

std::optional<Learner::Report> Learner::report() {
    MutexLock lock(mutex_);
    if (!on_)
        return std::nullopt;
    return Report{profiler_.report(), tournament_.standings(),
                  profiler_.bytes() + tournament_.bytes() + own_bytes_ +
                      writes_taken_.capacity() * 2 * sizeof(writes_taken_[0]),
                  cpu_seconds_, horizon_};
}

bool Learner::learning() {
    MutexLock lock(mutex_);
    return on_;
}

void Learner::set_label(std::optional<WorkloadClass> label) {
    MutexLock lock(mutex_);
    profiler_.set_label(label);
}

// Block size (8 bytes), then what each predictor seals itself: its size (4), and that.
std::vector<std::byte> Learner::save() {
    MutexLock lock(mutex_);
    ByteWriter writer;
    writer.put(bytes_of(backend_.pages()));
    const std::array<Predictor *, 2> predictors{&phases_, network_.get()};
    for (const Predictor *predictor : predictors) {
        const std::vector<std::byte> learnt = predictor->save();
        writer.put(static_cast<std::uint32_t>(learnt.size()));
        for (const std::byte one : learnt)
            writer.put(std::to_integer<std::uint8_t>(one));
    }
    return writer.sealed(kSeal);
}

Result<void> Learner::restore(std::span<const std::byte> bytes) {
    auto content = open_sealed(bytes, kSeal);
    if (!content)
        return tl::unexpected<Error>(content.error());
    ByteReader &reader = *content;
    const auto size = reader.get<std::uint64_t>();
    if (size != bytes_of(backend_.pages()))
        return tl::unexpected<Error>(unusable(
            kSeal, "it is of a block of " + std::to_string(size) + " bytes, and this has " +
                       std::to_string(bytes_of(backend_.pages()))));
    std::array<std::vector<std::byte>, 2> parts;
    for (std::vector<std::byte> &part : parts) {
        part.resize(std::min<std::size_t>(reader.get<std::uint32_t>(), reader.left()));
        for (std::byte &one : part)
            one = std::byte{reader.get<std::uint8_t>()};
    }
    if (!reader.complete())
        return tl::unexpected<Error>(unusable(kSeal, "its parts do not add up"));
    MutexLock lock(mutex_);
    // A part that is refused leaves nothing half done: the second is tried out first.
    if (!parts[0].empty())
        if (auto tried = Phases(backend_.pages()).restore(parts[0]); !tried)
            return tried;
    if (!parts[1].empty())
        if (auto taken = restore_network(parts[1]); !taken)
            return taken;
    return parts[0].empty() ? Result<void>{} : phases_.restore(parts[0]);
}

// Of another horizon it is of no use, which does not make the rest of the file useless.
Result<void> Learner::restore_network(std::span<const std::byte> bytes) {
    const auto horizon = Network::horizon_of(bytes);
    if (!horizon)
        return tl::unexpected<Error>(horizon.error());
    return *horizon == horizon_ ? network_->restore(bytes) : Result<void>{};
}

} // namespace tidemark
