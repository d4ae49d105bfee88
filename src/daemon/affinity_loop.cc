// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/affinity_loop.h"

#include "daemon/affinity_sketch.h"
#include "daemon/guest_age.h"
#include "daemon/qmp_answer.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

namespace tidemark::daemon {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr std::chrono::milliseconds kLook{250};
constexpr std::uint32_t kReplays = 8;      // of one guest
constexpr std::uint64_t kReplayAfter = 16; // more of its memory, one part in so many

double seconds_now() {
    return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

const BackendStats *main_backend(const Guest &guest) {
    const auto largest =
        std::max_element(guest.stats.begin(), guest.stats.end(),
                         [](const auto &a, const auto &b) { return a.size < b.size; });
    return largest == guest.stats.end() ? nullptr : &*largest;
}

const BackendProfile *profile_of(const Guest &guest, const std::string &backend) {
    for (const BackendProfile &profile : guest.profile) {
        if (profile.id == backend) {
            return &profile;
        }
    }
    return nullptr;
}

std::string group_of(const Guest &guest) {
    return guest.group ? guest.group->uuid : std::string();
}

bool may_prefetch(const Guest &guest) {
    return guest.group && guest.settings.policy.prefetch.value_or(true);
}

} // namespace

class AffinityLoop::Impl : public std::enable_shared_from_this<Impl> {
  public:
    Impl(boost::asio::io_context &io, Guests &guests, AffinityLoopOptions options)
        : guests_(guests), options_(std::move(options)), timer_(io), warm_ups_(options_.state_dir) {
    }

    // What becomes of a guest that has just begun.
    enum class Begin : std::uint8_t { watch, compare, done };
    struct Follow {
        std::string backend;
        HeatSeries series;
        AffinityPrefetch prefetch;
        GuestTraits traits; // with the sketch
        bool stale = true;  // traits are of an older profile
        Clock::time_point sketched{};
        bool asking = false;
        Begin begin = Begin::watch;
        bool add_record = false;        // when the sketch is there
        std::string like;               // whose record it replays
        std::uint64_t replay_limit = 0; // its DRAM limit then
        std::uint32_t replays = 0;
        std::uint64_t recorded = 0; // pages of the record that was seen last
    };

    Follow *find(const std::string &uuid) {
        const auto found = follows_.find(uuid);
        return found == follows_.end() ? nullptr : &found->second;
    }
    const GuestTraits &traits(const Guest &guest, Follow &follow);
    void foretell(const Guest &guest, Follow &follow);
    void ask_sketch(const std::string &uuid, Follow &follow);
    void look();
    void warm_up(const std::string &uuid);
    void replay(const Guest &guest, Follow &follow);

    Guests &guests_;
    const AffinityLoopOptions options_;
    boost::asio::steady_timer timer_;
    WarmUps warm_ups_;
    std::map<std::string, Follow> follows_;
    AffinityState state_;

  private:
    void order(const Guest &guest, const Follow &follow, const AffinityOrder &order);
    void take_status(const std::string &uuid, const std::string &status);
    void take_sketch(const std::string &uuid, const Result<json> &answer);
};

// A guest is compared with all others of its group at each profile of either: what is compared is made once a
// profile. Its group may change at any time, and must never be an old one.
const GuestTraits &AffinityLoop::Impl::traits(const Guest &guest, Follow &follow) {
    GuestTraits &traits = follow.traits;
    if (std::exchange(follow.stale, false)) {
        ContentSketch sketch = std::move(traits.sketch);
        traits = {};
        traits.sketch = std::move(sketch);
        if (const BackendProfile *profile = profile_of(guest, follow.backend)) {
            traits.cell_bytes = profile->heat_cell_bytes;
            traits.heat = profile->heat;
            traits.workload = profile->workload;
            traits.workload_confidence = profile->workload_confidence;
            traits.seconds = profile->seconds;
            traits.phases = profile->phases;
            traits.phase_changes = profile->phase_changes;
        }
    }
    traits.group = guest.group ? guest.group->uuid : std::string();
    traits.memory = guest.memory;
    return traits;
}

void AffinityLoop::Impl::foretell(const Guest &guest, Follow &follow) {
    const BackendStats *backend = main_backend(guest);
    AffinityOptions options = options_.prefetch;
    // A poll sees only what happened since the last one: the window reaches over two.
    options.window = std::max<double>(guest.settings.policy.window.value_or(10),
                                      2.5 * static_cast<double>(options_.profile_period.count()));
    options.most_bytes = backend->dram_limit / 8;
    std::vector<AffinityPeer> peers;
    if (may_prefetch(guest) && follow.series.samples().back().newly.any()) {
        const GuestTraits &own = traits(guest, follow);
        for (auto &[uuid, other] : follows_) {
            const Guest *peer = guests_.find(uuid);
            if (peer == nullptr || &other == &follow || other.backend != follow.backend ||
                !peer->group || peer->group->uuid != own.group) {
                continue;
            }
            peers.push_back({&other.series, compare(own, traits(*peer, other)).score});
        }
    }
    for (const AffinityOrder &found : follow.prefetch.after_sample(follow.series, peers, options)) {
        order(guest, follow, found);
    }
}

void AffinityLoop::Impl::order(const Guest &guest, const Follow &follow,
                               const AffinityOrder &order) {
    PrefetchOrder wanted;
    wanted.backend = follow.backend;
    wanted.to_nvme = !order.to_dram;
    wanted.confidence = std::clamp(order.confidence, 0.01, 1.0);
    wanted.deadline_ms = 1000 * guest.settings.policy.window.value_or(10);
    const std::uint64_t size = main_backend(guest)->size, cell = follow.series.cell_bytes();
    for (const CellRun &run : order.cells) {
        const std::uint64_t from = std::min(size, run.first * cell);
        const std::uint64_t to = std::min(size, (run.first + run.count) * cell);
        if (to > from) {
            wanted.ranges.push_back({from, to - from});
            state_.ordered_bytes += to - from;
        }
    }
    if (wanted.ranges.empty()) {
        return;
    }
    ++state_.orders;
    guests_.prefetch(
        guest.uuid, wanted,
        [weak = weak_from_this(), uuid = guest.uuid](const Result<Guests::Ticket> &done) {
            const auto self = weak.lock();
            if (self && !done) {
                ++self->state_.failed_orders;
                spdlog::debug("guest {}: no prefetch: {}", uuid, done.error().sentence);
            }
        });
}

void AffinityLoop::Impl::ask_sketch(const std::string &uuid, Follow &follow) {
    if (std::exchange(follow.asking, true)) {
        return;
    }
    follow.sketched = Clock::now();
    guests_.execute(uuid, "query-tiered-memory-sketch", json::object(),
                    [weak = weak_from_this(), uuid](const Result<json> &answer) {
                        if (const auto self = weak.lock()) {
                            self->take_sketch(uuid, answer);
                        }
                    });
}

void AffinityLoop::Impl::take_sketch(const std::string &uuid, const Result<json> &answer) {
    Follow *follow = find(uuid);
    if (follow == nullptr) {
        return;
    }
    follow->asking = false;
    if (!answer || !answer->is_array()) {
        follow->begin = Begin::done; // an older QEMU does not know it
        return;
    }
    ContentSketch &sketch = follow->traits.sketch;
    sketch = sketch_in(*answer, follow->backend);
    const Guest *guest = guests_.find(uuid);
    if (guest != nullptr && std::exchange(follow->add_record, false)) {
        warm_ups_.add(uuid, group_of(*guest), sketch);
    }
    if (std::exchange(follow->begin, Begin::done) == Begin::compare && sketch.pages > 0) {
        warm_up(uuid); // else nothing of it is in a tier
    }
}

// Asks guests that have just begun whether they run: while one is being restored its memory is not whole.
void AffinityLoop::Impl::look() {
    for (auto &[uuid, follow] : follows_) {
        const Guest *guest = guests_.find(uuid);
        if (guest != nullptr && guest->connected && !follow.like.empty() &&
            follow.replays < kReplays &&
            guest->dram_limit() >= follow.replay_limit + guest->memory / kReplayAfter) {
            replay(*guest, follow);
        }
        if (follow.begin != Begin::watch || guest == nullptr || !guest->connected) {
            continue;
        }
        if (!may_prefetch(*guest) || process_age(guest->pid) >= options_.young) {
            follow.begin = Begin::done;
            continue;
        }
        guests_.execute(uuid, "query-status", json::object(),
                        [weak = weak_from_this(), uuid = uuid](const Result<json> &answer) {
                            const auto self = weak.lock();
                            if (self && answer) {
                                self->take_status(uuid, text_in(*answer, "status").value_or(""));
                            }
                        });
    }
    timer_.expires_after(kLook);
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code cancelled) {
        if (const auto self = weak.lock(); self && !cancelled) {
            self->look();
        }
    });
}

void AffinityLoop::Impl::take_status(const std::string &uuid, const std::string &status) {
    Follow *follow = find(uuid);
    const Guest *guest = guests_.find(uuid);
    const BackendStats *backend = guest == nullptr ? nullptr : main_backend(*guest);
    if (follow != nullptr && backend != nullptr && follow->begin == Begin::watch &&
        (status == "running" || status == "paused")) {
        follow->stale |= std::exchange(follow->backend, backend->id) != backend->id;
        follow->begin = Begin::compare;
        ask_sketch(uuid, *follow);
    }
}

void AffinityLoop::Impl::warm_up(const std::string &uuid) {
    Follow *follow = find(uuid);
    const Guest *guest = guests_.find(uuid);
    if (follow == nullptr || guest == nullptr) {
        return;
    }
    const auto found = warm_ups_.find(group_of(*guest), follow->traits.sketch);
    if (!found) { // the first one of its kind: what it needs now, the next one replays
        ++state_.records;
        const auto begun = [uuid](const Result<Guests::Nothing> &done) {
            if (!done) {
                spdlog::debug("guest {}: no record: {}", uuid, done.error().sentence);
            }
        };
        guests_.record(uuid, options_.record_for, Guests::RecordWhy::warm_up, begun);
        return;
    }
    spdlog::info(
        "guest {} ({}) begins like guest {} of its group: {:.0f} % of its memory is the same",
        guest->name, uuid, found->uuid, found->agreement * 100);
    follow->like = found->uuid;
    replay(*guest, *follow);
}

// A replay ends where DRAM does: what is left of it comes when the guest is given more.
void AffinityLoop::Impl::replay(const Guest &guest, Follow &follow) {
    follow.replay_limit = guest.dram_limit();
    ++follow.replays;
    guests_.replay(
        guest.uuid, follow.like,
        [weak = weak_from_this(), uuid = guest.uuid](const Result<std::uint64_t> &pages) {
            const auto self = weak.lock();
            if (self && pages) {
                ++self->state_.replays;
                self->state_.replayed_pages += *pages;
            } else if (!pages) {
                spdlog::warn("guest {}: no replay: {}", uuid, pages.error().sentence);
            }
        });
}

AffinityLoop::AffinityLoop(boost::asio::io_context &io, Guests &guests, AffinityLoopOptions options)
    : impl_(std::make_shared<Impl>(io, guests, std::move(options))) {
    guests.observe(*this);
    impl_->look();
}

// Cancelling a timer throws in theory only, and then there is nothing to go on with.
AffinityLoop::~AffinityLoop() { // NOLINT(bugprone-exception-escape)
    stop();
}

void AffinityLoop::stop() {
    impl_->timer_.cancel();
}

AffinityState AffinityLoop::state() const {
    AffinityState state = impl_->state_;
    for (const auto &[uuid, follow] : impl_->follows_) {
        state.right += follow.prefetch.right();
        state.wrong += follow.prefetch.wrong();
    }
    return state;
}

std::vector<std::pair<std::string, Similarity>>
AffinityLoop::similar(const std::string &uuid) const {
    std::vector<std::pair<std::string, Similarity>> found;
    const Guest *guest = impl_->guests_.find(uuid);
    if (guest == nullptr || !guest->group) {
        return found;
    }
    Impl::Follow *follow = impl_->find(guest->uuid);
    for (const Guest *other : impl_->guests_.all()) {
        if (other == guest || !other->group || other->group->uuid != guest->group->uuid) {
            continue;
        }
        found.emplace_back(other->uuid, Similarity{});
        if (Impl::Follow *peer = impl_->find(other->uuid); peer != nullptr && follow != nullptr)
            found.back().second =
                compare(impl_->traits(*guest, *follow), impl_->traits(*other, *peer));
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto &a, const auto &b) { return a.second.score > b.second.score; });
    return found;
}

void AffinityLoop::guest_connected(const Guest &guest) {
    if (impl_->follows_.size() < kMostGuests) {
        Impl::Follow &follow = impl_->follows_[guest.uuid];
        follow.asking = false;
        follow.begin = Impl::Begin::watch;
        follow.like.clear();
        follow.replays = 0;
        follow.stale = true;
    }
}

void AffinityLoop::guest_stats(const Guest &guest) {
    Impl::Follow *follow = impl_->find(guest.uuid);
    const BackendStats *backend = main_backend(guest);
    if (follow == nullptr || backend == nullptr || !guest.group) {
        return;
    }
    follow->stale |= std::exchange(follow->backend, backend->id) != backend->id;
    const bool saved = guest.record.phase == RecordState::Phase::saved;
    if (std::exchange(follow->recorded, saved ? guest.record.pages : 0) != guest.record.pages &&
        saved) {
        follow->add_record = true;
        impl_->ask_sketch(guest.uuid, *follow);
    }
    if (follow->begin == Impl::Begin::done &&
        Clock::now() - follow->sketched >= impl_->options_.sketch_period) {
        impl_->ask_sketch(guest.uuid, *follow);
    }
}

void AffinityLoop::guest_profile(const Guest &guest) {
    Impl::Follow *follow = impl_->find(guest.uuid);
    if (follow == nullptr) {
        return;
    }
    follow->stale = true;
    if (main_backend(guest) == nullptr || !guest.group) {
        return;
    }
    const BackendProfile *profile = profile_of(guest, follow->backend);
    if (profile == nullptr) {
        return;
    }
    follow->series.add(seconds_now(), profile->heat_cell_bytes, profile->heat);
    if (!follow->series.samples().empty()) {
        impl_->foretell(guest, *follow);
    }
}

void AffinityLoop::guest_removed(const Guest &guest) {
    impl_->follows_.erase(guest.uuid);
}

} // namespace tidemark::daemon
