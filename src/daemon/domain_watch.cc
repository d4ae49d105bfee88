// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/domain_watch.h"

#include "daemon/daemon_files.h"
#include "daemon/domains.h"
#include "domain/host_config.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <map>
#include <set>
#include <unistd.h>
#include <utility>

namespace tidemark::daemon {
namespace {

using Kind = LibvirtDomainChange::Kind;
using Clock = std::chrono::steady_clock;

constexpr const char *kRemoved =
    "the element was removed from the running domain: the guest stays tiered, with the settings it "
    "has, until it stops";

} // namespace

class DomainWatch::Impl : public std::enable_shared_from_this<Impl> {
  public:
    Impl(boost::asio::io_context &io, const domain::HostConfig &config, Domains &domains,
         Guests &guests, DomainWatchTimes times)
        : io_(io), config_(config), domains_(domains), guests_(guests), times_(times), timer_(io),
          left_(std::make_shared<LeftFiles>(config, guests, times.ask)) {}

    void look();
    void changed(const std::string &uuid);
    Result<void> stopped(const std::string &uuid);
    void started(const LibvirtDomainChange &change);
    void ended(const std::string &uuid);
    void take_element(const LibvirtDomainChange &change);
    // Not from within the call that tells of it.
    void later(const std::string &uuid, void (Impl::*what)(const std::string &));
    void connected(const std::string &uuid);

    boost::asio::io_context &io_;
    const domain::HostConfig &config_;
    Domains &domains_;
    Guests &guests_;
    const DomainWatchTimes times_;
    boost::asio::steady_timer timer_;
    const std::shared_ptr<LeftFiles> left_;

  private:
    // As a domain: a QEMU that libvirt does not know has no end but its own.
    bool known(const std::string &uuid) const {
        const Guest *guest = guests_.find(uuid);
        return domains_.find(uuid) != nullptr || (guest != nullptr && guest->has_domain);
    }
    bool has_file(const std::string &uuid) const {
        return access(config_.domain_file(uuid).c_str(), F_OK) == 0 || errno != ENOENT;
    }
    bool gone(const std::string &uuid) const {
        const Guest *guest = guests_.find(uuid);
        return (guest == nullptr || !guest->connected) && !has_file(uuid);
    }
    void forget(const std::string &uuid);
    Result<void> put_in_force(const LibvirtDomainChange &change);

    // Somebody said that they ended, or the store could not forget them: no grace for these.
    std::set<std::string> ending_;
    std::map<std::string, Clock::time_point> missing_; // since when
};

void DomainWatch::Impl::look() {
    std::set<std::string> all = ending_;
    for (const domain::ResolvedDomain *domain : domains_.all()) {
        all.insert(domain->uuid);
    }
    for (const Guest *guest : guests_.all()) {
        if (guest->has_domain) {
            all.insert(guest->uuid);
        }
    }
    const auto now = Clock::now();
    std::map<std::string, Clock::time_point> missing;
    for (const std::string &uuid : all) {
        if (!gone(uuid)) {
            continue;
        }
        const auto before = missing_.find(uuid);
        const auto since = before == missing_.end() ? now : before->second;
        if (ending_.contains(uuid) || now - since >= times_.grace) {
            forget(uuid);
        } else {
            missing.emplace(uuid, since);
        }
    }
    missing_ = std::move(missing);
    left_->look(now);
    timer_.expires_after(times_.look);
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code cancelled) {
        if (const auto self = weak.lock(); self && !cancelled) {
            self->look();
        }
    });
}

void DomainWatch::Impl::forget(const std::string &uuid) {
    if (known(uuid)) {
        spdlog::info("domain {}: it has ended, although the hook did not say so", uuid);
    }
    static_cast<void>(stopped(uuid)); // says itself what went wrong
}

Result<void> DomainWatch::Impl::stopped(const std::string &uuid) {
    auto forgotten = domains_.stopped(uuid);
    guests_.domain_stopped(uuid);
    if (forgotten) {
        ending_.erase(uuid);
    } else if (ending_.insert(uuid).second) {
        spdlog::warn("domain {}: it has ended, and that cannot be kept: {}; tried again every {} s",
                     uuid, forgotten.error().sentence,
                     std::chrono::duration_cast<std::chrono::seconds>(times_.look).count());
    }
    return forgotten;
}

void DomainWatch::Impl::changed(const std::string &uuid) {
    if (auto read = guests_.reread_domain(uuid); !read) {
        spdlog::warn("domain {}: {}", uuid, read.error().sentence);
    }
}

// Somebody says that it ended. The hook removes the file a moment later, and QEMU's socket may still be there.
void DomainWatch::Impl::ended(const std::string &uuid) {
    if (gone(uuid)) {
        if (known(uuid)) {
            forget(uuid);
        }
    } else if (known(uuid)) {
        ending_.insert(uuid);
    }
}

// A daemon that did not hear of it at all finds the file that the hook wrote by itself.
void DomainWatch::Impl::connected(const std::string &uuid) {
    ending_.erase(uuid);
    if (!has_file(uuid) || domains_.find(uuid) != nullptr) {
        return;
    }
    if (auto taken = domains_.running(uuid); !taken) {
        spdlog::warn("domain {}: {}", uuid, taken.error().sentence);
        return;
    }
    changed(uuid);
}

void DomainWatch::Impl::started(const LibvirtDomainChange &change) {
    ending_.erase(change.uuid);
    if (!has_file(change.uuid)) {
        return; // none of ours
    }
    if (domains_.element_settings(change.uuid)) {
        changed(change.uuid);
    } else if (change.has_element) { // more than what the hook, which was alone, left
        take_element(change);
    }
}

Result<void> DomainWatch::Impl::put_in_force(const LibvirtDomainChange &change) {
    if (!change.has_element) {
        return fail(EINVAL, kRemoved);
    }
    auto resolved = domains_.change_element(change.uuid, change.element);
    if (!resolved) {
        return tl::unexpected(resolved.error());
    }
    return replace_content(config_.domain_file(change.uuid), domain::to_json_text(*resolved));
}

void DomainWatch::Impl::take_element(const LibvirtDomainChange &change) {
    // The hook may have been alone: it left a file.
    if (domains_.find(change.uuid) == nullptr && !domains_.running(change.uuid)) {
        return;
    }
    if (auto put = put_in_force(change); !put) {
        spdlog::warn("domain {}: its new element has no effect: {}", change.name,
                     put.error().sentence);
        guests_.set_element_problem(change.uuid, put.error().sentence);
        return;
    }
    spdlog::info("domain {} ({}): its element is in force", change.name, change.uuid);
    guests_.set_element_problem(change.uuid, "");
    changed(change.uuid);
}

void DomainWatch::Impl::later(const std::string &uuid, void (Impl::*what)(const std::string &)) {
    boost::asio::post(io_, [weak = weak_from_this(), uuid, what] {
        if (const auto self = weak.lock()) {
            ((*self).*what)(uuid);
        }
    });
}

DomainWatch::DomainWatch(boost::asio::io_context &io, const domain::HostConfig &config,
                         Domains &domains, Guests &guests, DomainWatchTimes times)
    : impl_(std::make_shared<Impl>(io, config, domains, guests, times)) {
    guests.observe(*this);
    impl_->look();
}

// Cancelling a timer throws in theory only, and then there is nothing to go on with.
DomainWatch::~DomainWatch() { // NOLINT(bugprone-exception-escape)
    stop();
}

void DomainWatch::stop() {
    impl_->timer_.cancel();
}

void DomainWatch::changed(const std::string &uuid) {
    impl_->changed(uuid);
}

Result<void> DomainWatch::stopped(const std::string &uuid) {
    return impl_->stopped(uuid);
}

void DomainWatch::follow(const LibvirtDomainChange &change) {
    if (change.kind == Kind::stopped) {
        impl_->ended(change.uuid);
    } else if (change.kind == Kind::started) {
        impl_->started(change);
    } else if (change.kind != Kind::undefined && change.active) {
        impl_->take_element(change);
    }
}

void DomainWatch::ask_with(LeftFiles::Ask ask) {
    impl_->left_->ask_with(std::move(ask));
}

void DomainWatch::guest_connected(const Guest &guest) {
    impl_->later(guest.uuid, &Impl::connected);
}

void DomainWatch::guest_disconnected(const Guest &guest) {
    impl_->later(guest.uuid, &Impl::ended);
}

} // namespace tidemark::daemon
