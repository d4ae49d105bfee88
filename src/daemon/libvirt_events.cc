// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/libvirt_events.h"

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <map>
#include <mutex>
#include <optional>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace tidemark::daemon {

namespace {

using Change = LibvirtDomainChange;

constexpr const char *kUri = "urn:tidemark:domain:1";
constexpr std::chrono::seconds kAgain{3};
constexpr std::size_t kElementMost = 1U << 20;

struct CloseConnect {
    void operator()(virConnect *connect) const { virConnectClose(connect); }
};
using Connect = std::unique_ptr<virConnect, CloseConnect>;

struct FreeDomain {
    void operator()(virDomain *domain) const { virDomainFree(domain); }
};
using DomainRef = std::unique_ptr<virDomain, FreeDomain>;

std::string last_error() {
    const virError *error = virGetLastError();
    return error == nullptr || error->message == nullptr ? "unknown error" : error->message;
}

// "" if there is none; nothing if libvirt does not say.
std::optional<std::string> metadata(virDomain *domain, virDomainMetadataType type, const char *uri,
                                    unsigned flags) {
    char *text = virDomainGetMetadata(domain, type, uri, flags);
    if (text == nullptr && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN_METADATA)
        return std::nullopt;
    std::string copy = text == nullptr ? "" : text;
    free(text); // NOLINT: libvirt's is malloc()ed
    return copy;
}

std::string uuid_of(virDomain *domain) {
    std::array<char, VIR_UUID_STRING_BUFLEN> text{};
    return virDomainGetUUIDString(domain, text.data()) == 0 ? text.data() : "";
}

} // namespace

// The thread's own things, and what both sides look at. It outlives LibvirtEvents if a call of libvirt's
// hangs: then the thread is left behind, and finds nobody to tell.
class LibvirtEvents::Thread : public std::enable_shared_from_this<LibvirtEvents::Thread> {
  public:
    struct Question {
        std::vector<std::string> uuids;
        std::function<void(Ended)> answer;
    };

    bool follows() const { return !uri_.empty(); }
    Thread(boost::asio::io_context &io, std::string uri, Changed changed)
        : io_(&io), uri_(std::move(uri)), changed_(std::move(changed)),
          wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
    ~Thread() { close(wake_); }
    Thread(const Thread &) = delete;
    Thread &operator=(const Thread &) = delete;

    void start() {
        thread_ = std::thread([self = shared_from_this()] { self->run(); });
    }

    void stop() {
        if (!thread_.joinable())
            return;
        std::unique_lock lock(mutex_);
        stopping_ = true;
        wake();
        woken_.notify_all();
        const bool over = woken_.wait_for(lock, std::chrono::seconds(1), [&] { return over_; });
        lock.unlock();
        if (over) {
            thread_.join();
        } else {
            spdlog::warn("libvirt does not answer; its thread is left behind");
            thread_.detach();
        }
    }

    bool connected() const { return connected_; }

    void ask_ended(Question question) {
        const std::lock_guard lock(mutex_);
        if (!connected_)
            return;
        questions_.push_back(std::move(question));
        wake();
    }

  private:
    void wake() const {
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
    }

    void run() {
        virSetErrorFunc(nullptr, [](void *, virErrorPtr) {}); // not to stderr, the daemon says it
        bool said = false;
        if (virInitialize() != 0 || !register_loop()) {
            spdlog::warn("libvirt cannot be used: {}", last_error());
        } else {
            const int handle =
                virEventAddHandle(wake_, VIR_EVENT_HANDLE_READABLE, woken_up, nullptr, nullptr);
            while (!stopping()) {
                if (const Connect connect{virConnectOpenReadOnly(uri_.c_str())}) {
                    said = false;
                    follow(connect.get());
                } else if (!std::exchange(said, true)) {
                    spdlog::warn(
                        "no connection to libvirt at {} ({}): the daemon works on, and tries "
                        "again every {} s",
                        uri_, last_error(), kAgain.count());
                }
                std::unique_lock lock(mutex_);
                woken_.wait_for(lock, kAgain, [&] { return stopping_; });
            }
            virEventRemoveHandle(handle);
        }
        const std::lock_guard lock(mutex_);
        over_ = true;
        woken_.notify_all();
    }

    static void woken_up(int, int wake, int, void *) {
        std::uint64_t times = 0;
        [[maybe_unused]] const ssize_t got = read(wake, &times, sizeof(times));
    }

    // libvirt has one loop in a process, and wants to know it once.
    static bool register_loop() {
        static const bool registered = virEventRegisterDefaultImpl() == 0;
        return registered;
    }

    bool stopping() {
        const std::lock_guard lock(mutex_);
        return stopping_;
    }

    void follow(virConnect *connect) {
        lost_ = false;
        const int metadata_id =
            virConnectDomainEventRegisterAny(connect, nullptr, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
                                             VIR_DOMAIN_EVENT_CALLBACK(on_metadata), this, nullptr);
        const int lifecycle_id = virConnectDomainEventRegisterAny(
            connect, nullptr, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), this, nullptr);
        virConnectRegisterCloseCallback(
            connect,
            [](virConnectPtr, int, void *self) { static_cast<Thread *>(self)->lost_ = true; }, this,
            nullptr);
        // libvirtd that stands still is noticed, and its end at once.
        virConnectSetKeepAlive(connect, 5, 6);
        if (metadata_id < 0 || lifecycle_id < 0) {
            spdlog::warn("libvirt does not tell about its domains: {}", last_error());
        } else {
            connected_ = true;
            spdlog::info("following the domains of {}", uri_);
            see_all(connect);
            while (!lost_ && !stopping() && virEventRunDefaultImpl() == 0) {
                tell_all();
                answer_questions(connect);
            }
            end_questions();
            if (!stopping())
                spdlog::warn("the connection to libvirt ended");
        }
        changes_.clear();
        if (metadata_id >= 0)
            virConnectDomainEventDeregisterAny(connect, metadata_id);
        if (lifecycle_id >= 0)
            virConnectDomainEventDeregisterAny(connect, lifecycle_id);
        virConnectUnregisterCloseCallback(connect, [](virConnectPtr, int, void *self) {
            static_cast<Thread *>(self)->lost_ = true;
        });
    }

    static void on_metadata(virConnectPtr, virDomainPtr domain, int type, const char *uri,
                            void *self) {
        const bool ours =
            type == VIR_DOMAIN_METADATA_ELEMENT && uri != nullptr && std::string_view(uri) == kUri;
        if (ours || type == VIR_DOMAIN_METADATA_TITLE)
            static_cast<Thread *>(self)->note(domain, Change::Kind::metadata);
    }

    static int on_lifecycle(virConnectPtr, virDomainPtr domain, int event, int, void *self) {
        auto *const thread = static_cast<Thread *>(self);
        if (event == VIR_DOMAIN_EVENT_STARTED)
            thread->note(domain, Change::Kind::started);
        else if (event == VIR_DOMAIN_EVENT_STOPPED)
            thread->note(domain, Change::Kind::stopped);
        else if (event == VIR_DOMAIN_EVENT_UNDEFINED)
            thread->note(domain, Change::Kind::undefined);
        return 0;
    }

    // Inside a callback: what it is about is asked for later. Many changes of a domain are one.
    void note(virDomain *domain, Change::Kind kind) {
        if (virDomainRef(domain) == 0)
            changes_.insert_or_assign({uuid_of(domain), kind}, DomainRef(domain));
    }

    void see_all(virConnect *connect) {
        virDomainPtr *domains = nullptr;
        const int count =
            virConnectListAllDomains(connect, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
        for (int i = 0; i < count; ++i) {
            const DomainRef domain(domains[i]);
            tell(domain.get(), Change::Kind::seen);
        }
        free(domains); // NOLINT: libvirt's is malloc()ed
    }

    void tell_all() {
        for (auto &[key, domain] : std::exchange(changes_, {}))
            tell(domain.get(), key.second);
    }

    void end_questions() {
        const std::lock_guard lock(mutex_);
        connected_ = false;
        questions_.clear();
    }

    void answer_questions(virConnect *connect) {
        std::vector<Question> questions;
        {
            const std::lock_guard lock(mutex_);
            questions.swap(questions_);
        }
        for (Question &question : questions) {
            Ended ended;
            for (const std::string &uuid : question.uuids)
                if (has_ended(connect, uuid))
                    ended.insert(uuid);
            const std::lock_guard lock(mutex_);
            if (stopping_)
                return;
            boost::asio::post(*io_, [self = shared_from_this(), ended = std::move(ended),
                                     answer = std::move(question.answer)] {
                if (!self->stopping())
                    answer(ended);
            });
        }
    }

    // Not if libvirt does not say: it may be going away, or not show this domain to us.
    static bool has_ended(virConnect *connect, const std::string &uuid) {
        if (const DomainRef domain{virDomainLookupByUUIDString(connect, uuid.c_str())})
            return virDomainIsActive(domain.get()) == 0;
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
    }

    void tell(virDomain *domain, Change::Kind kind) {
        Change change;
        change.kind = kind;
        change.uuid = uuid_of(domain);
        change.name = virDomainGetName(domain);
        if (kind != Change::Kind::stopped && kind != Change::Kind::undefined) {
            change.active = virDomainIsActive(domain) == 1;
            const unsigned flags =
                change.active ? VIR_DOMAIN_AFFECT_LIVE : VIR_DOMAIN_AFFECT_CONFIG;
            change.title = metadata(domain, VIR_DOMAIN_METADATA_TITLE, nullptr, flags).value_or("");
            // That it has none is a change, too, and must not be guessed.
            auto element = metadata(domain, VIR_DOMAIN_METADATA_ELEMENT, kUri, flags);
            if (!element) {
                spdlog::warn("the element of domain {} cannot be read: {}", change.name,
                             last_error());
                return;
            }
            change.element = std::move(*element);
            if (change.element.size() > kElementMost) {
                spdlog::warn("the element of domain {} is not looked at: it has {} bytes",
                             change.name, change.element.size());
                return;
            }
            change.has_element = !change.element.empty();
        }
        const std::lock_guard lock(mutex_);
        if (stopping_)
            return;
        boost::asio::post(*io_, [self = shared_from_this(), change = std::move(change)] {
            if (!self->stopping()) // it is set in this thread
                self->changed_(change);
        });
    }

    boost::asio::io_context *const io_;
    const std::string uri_;
    const Changed changed_;
    const int wake_;
    std::thread thread_;
    std::atomic<bool> connected_ = false;
    std::mutex mutex_;
    std::condition_variable woken_;
    bool stopping_ = false, over_ = false; // under mutex_
    std::vector<Question> questions_;      // under mutex_
    // Of the thread alone.
    bool lost_ = false;
    std::map<std::pair<std::string, Change::Kind>, DomainRef> changes_;
};

LibvirtEvents::LibvirtEvents(boost::asio::io_context &io, std::string uri, Changed changed)
    : thread_(std::make_shared<Thread>(io, std::move(uri), std::move(changed))) {
    if (thread_->follows())
        thread_->start();
}

LibvirtEvents::~LibvirtEvents() {
    thread_->stop();
}

bool LibvirtEvents::connected() const {
    return thread_->connected();
}

void LibvirtEvents::ask_ended(std::vector<std::string> uuids, std::function<void(Ended)> answer) {
    thread_->ask_ended({std::move(uuids), std::move(answer)});
}

} // namespace tidemark::daemon
