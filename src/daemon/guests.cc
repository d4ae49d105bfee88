// SPDX-License-Identifier: GPL-2.0-or-later
//
// Records: which guests there are, and what they are set to.
#include "base/utf8.h"
#include "daemon/guests_impl.h"
#include "domain/group_id.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <filesystem>
#include <fstream>
#include <spdlog/spdlog.h>
#include <sstream>
#include <sys/stat.h>

namespace tidemark::daemon {

namespace {

constexpr std::uintmax_t kDomainFileMost = 1U << 20;

Result<std::string> read_domain_file(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    if (!in)
        return fail(ENOENT, "cannot read " + path);
    std::string text(kDomainFileMost + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > kDomainFileMost)
        return fail(EFBIG, path + " has more than " + std::to_string(kDomainFileMost) + " bytes");
    return text;
}

// What the resolved domain says; the source knows what of it is the element's own.
GuestSettings settings_of(const domain::ResolvedDomain &domain,
                          const std::optional<GuestSettings> &element) {
    GuestSettings settings;
    settings.dram_limit = domain.dram_limit;
    settings.dram_floor = domain.dram_floor;
    settings.priority = element ? element->priority : domain.priority;
    settings.policy = element ? element->policy : domain.policy;
    return settings;
}

bool says_anything(const GuestSettings &settings) {
    return settings != GuestSettings{};
}

} // namespace

std::int64_t unix_ms_now() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

std::string one_line(const std::string &text, std::size_t most) {
    std::string line = cut(text, most);
    for (char &c : line)
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
            c = ' ';
    return line;
}

Guests::Impl::Impl(boost::asio::io_context &io, GuestsOptions options, const SettingsSource &source)
    : io_(io), options_(std::move(options)), source_(source) {}

Result<void> Guests::Impl::start() {
    for (const std::string &dir : {options_.run_dir, options_.run_dir + "/domains"})
        // QEMUs of another user look in here, whatever the umask.
        if (mkdir(dir.c_str(), 0755) == 0 ? chmod(dir.c_str(), 0755) != 0 : errno != EEXIST)
            return fail(errno, "cannot make the directory " + dir);
    read_domains();
    auto listener =
        GuestListener::open(io_, options_.run_dir + "/vm.sock",
                            [weak = weak_from_this()](QmpSession::Socket socket, const Peer &peer) {
                                if (const auto self = weak.lock())
                                    self->accepted(std::move(socket), peer);
                            });
    if (!listener)
        return tl::unexpected<Error>(listener.error());
    listener_ = std::move(*listener);
    return {};
}

void Guests::Impl::stop() {
    stopped_ = true;
    if (listener_)
        listener_->close();
    const Error why{ECANCELED, "the daemon stops"};
    for (const auto &session : std::exchange(arriving_, {}))
        session->close(why);
    for (const auto &[uuid, entry] : entries_) {
        entry->stats.timer.cancel();
        entry->profile.timer.cancel();
        entry->record_timer.cancel();
        entry->forget_timer.cancel();
        if (entry->session)
            entry->session->close(why);
    }
}

void Guests::Impl::read_domains() {
    const std::string dir = options_.run_dir + "/domains";
    DIR *const listing = opendir(dir.c_str());
    if (listing == nullptr)
        return;
    while (const dirent *const file = readdir(listing)) { // NOLINT(concurrency-mt-unsafe)
        const std::string name = file->d_name;
        if (name.size() != 36 + 5 || !name.ends_with(".json"))
            continue;
        const auto uuid = domain::normal_uuid(name.substr(0, 36));
        if (!uuid)
            continue;
        if (const auto read = reread_domain(*uuid); !read)
            spdlog::warn("{}", read.error().sentence);
    }
    closedir(listing);
}

std::string Guests::Impl::domain_file(const std::string &uuid) const {
    return options_.run_dir + "/domains/" + uuid + ".json";
}

std::string Guests::Impl::group_note(const std::string &uuid) const {
    return options_.run_dir + "/exchange/" + uuid + ".group";
}

Exchange Guests::Impl::exchange(const GuestEntry &entry) const {
    return Exchange{options_.run_dir + "/exchange/" + entry.guest.uuid, entry.guest.uid, entry.gid};
}

GuestEntry *Guests::Impl::find(std::string_view uuid) const {
    const auto normal = domain::normal_uuid(uuid);
    const auto found = normal ? entries_.find(*normal) : entries_.end();
    return found == entries_.end() ? nullptr : found->second.get();
}

GuestEntry &Guests::Impl::entry_of(const std::string &uuid) {
    EntryPtr &entry = entries_[uuid];
    if (!entry) {
        entry = std::make_shared<GuestEntry>(io_);
        entry->guest.uuid = uuid;
    }
    return *entry;
}

Result<void> Guests::Impl::reread_domain(const std::string &any_case) {
    const auto normal = domain::normal_uuid(any_case);
    if (!normal)
        return fail(EINVAL, "'" + one_line(any_case, 64) + "' is not a UUID");
    const std::string &uuid = *normal;
    const std::string path = domain_file(uuid);
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) {
        if (errno != ENOENT)
            return fail(errno, "cannot read " + path);
        if (GuestEntry *entry = find(uuid); entry != nullptr && entry->guest.has_domain) {
            entry->guest.has_domain = false;
            entry->guest.booted_memory = 0;
            remove_if_gone(*entry);
        }
        return {};
    }
    const Result<std::string> text = read_domain_file(path);
    if (!text)
        return tl::unexpected<Error>(text.error());
    Result<domain::ResolvedDomain> resolved = domain::resolved_from_json(*text);
    if (!resolved)
        return fail(resolved.error().code, path + ": " + resolved.error().sentence);
    if (resolved->uuid != uuid)
        return fail(EINVAL, path + " is about another domain, " + one_line(resolved->uuid, 64));
    if (find(uuid) == nullptr && entries_.size() >= options_.max_guests)
        return fail(ENOSPC, "there are " + std::to_string(entries_.size()) +
                                " guests already; no more are followed");
    GuestEntry &entry = entry_of(uuid);
    Guest &guest = entry.guest;
    entry.stopped = false;
    guest.has_domain = true;
    guest.name = resolved->name;
    guest.title = resolved->title;
    guest.labels = resolved->labels;
    guest.group_uuid_of_domain = resolved->group;
    guest.group_name_of_domain = resolved->group_name;
    guest.service_of_domain = resolved->service;
    guest.booted_memory = resolved->memory;
    measure_memory(guest);
    guest.from_domain = settings_of(*resolved, source_.element_settings(uuid));
    refresh(entry);
    tell([&](GuestObserver &observer) { observer.guest_domain_changed(guest); });
    return {};
}

void Guests::Impl::measure_memory(Guest &guest) {
    const std::uint64_t tiered = guest.tiered_memory();
    // What an earlier QEMU of it had tells nothing about the next one.
    const bool asked = guest.connected && tiered != 0;
    guest.memory = asked || !guest.has_domain ? tiered : guest.booted_memory;
}

void Guests::Impl::set_element_problem(const std::string &uuid, const std::string &sentence) {
    if (GuestEntry *entry = find(uuid))
        entry->guest.element_problem = one_line(sentence);
}

void Guests::Impl::domain_stopped(const std::string &uuid) {
    GuestEntry *entry = find(uuid);
    if (entry == nullptr)
        return;
    entry->stopped = true;
    remove_if_gone(*entry);
}

// The entry may be gone afterwards.
void Guests::Impl::remove_if_gone(GuestEntry &entry) {
    if (entry.session || (entry.guest.has_domain && !entry.stopped))
        return;
    const EntryPtr last = shared(entry); // until the end of this
    tell([&](GuestObserver &observer) { observer.guest_removed(entry.guest); });
    exchange(entry).remove_all();
    std::error_code ignored;
    std::filesystem::remove(group_note(entry.guest.uuid), ignored);
    entries_.erase(entry.guest.uuid);
}

void Guests::Impl::refresh(GuestEntry &entry) {
    Guest &guest = entry.guest;
    if (guest.has_domain)
        if (const auto element = source_.element_settings(guest.uuid)) {
            guest.from_domain.priority = element->priority;
            guest.from_domain.policy = element->policy;
        }
    guest.from_operator = source_.operator_settings(guest.uuid);
    guest.group = source_.group_of(guest);
    GuestSettings from_domain = guest.from_domain;
    if (from_domain.dram_limit)
        from_domain.dram_limit = guest.in_proportion(*from_domain.dram_limit);
    guest.settings =
        resolve_settings(guest.from_operator, from_domain, guest.group, source_.defaults());
    if (guest.has_domain || guest.group || says_anything(guest.from_operator))
        entry.managed = true;
    push_settings(entry);
}

void Guests::Impl::grant(const std::string &uuid, std::uint64_t bytes) {
    GuestEntry *entry = find(uuid);
    if (entry == nullptr || entry->guest.granted == bytes)
        return;
    entry->guest.granted = bytes;
    push_settings(*entry);
}

void Guests::Impl::log_once(const std::string &key, const std::string &sentence) {
    const auto left_out = log_limit_.pass(key);
    if (!left_out)
        return;
    if (*left_out > 0)
        spdlog::warn("{} (and {} more like it)", one_line(sentence), *left_out);
    else
        spdlog::warn("{}", one_line(sentence));
}

Guests::Guests(boost::asio::io_context &io, GuestsOptions options, const SettingsSource &source)
    : impl_(std::make_shared<Impl>(io, std::move(options), source)) {}

// Closing sockets throws in theory only, and then there is nothing to go on with.
Guests::~Guests() { // NOLINT(bugprone-exception-escape)
    impl_->stop();
    impl_->observers_.clear();
}

Result<void> Guests::start() {
    return impl_->start();
}

void Guests::stop() {
    impl_->stop();
}

void Guests::observe(GuestObserver &observer) {
    impl_->observers_.push_back(&observer);
}

const Guest *Guests::find(std::string_view uuid) const {
    const GuestEntry *entry = impl_->find(uuid);
    return entry == nullptr ? nullptr : &entry->guest;
}

std::vector<const Guest *> Guests::all() const {
    std::vector<const Guest *> guests;
    guests.reserve(impl_->entries_.size());
    for (const auto &[uuid, entry] : impl_->entries_)
        guests.push_back(&entry->guest);
    return guests;
}

std::size_t Guests::size() const {
    return impl_->entries_.size();
}

Result<void> Guests::reread_domain(const std::string &uuid) {
    return impl_->reread_domain(uuid);
}

void Guests::domain_stopped(const std::string &uuid) {
    impl_->domain_stopped(uuid);
}

void Guests::set_element_problem(const std::string &uuid, const std::string &sentence) {
    impl_->set_element_problem(uuid, sentence);
}

void Guests::refresh(const std::string &uuid) {
    if (GuestEntry *entry = impl_->find(uuid))
        impl_->refresh(*entry);
}

void Guests::refresh_all() {
    for (const auto &[uuid, entry] : impl_->entries_)
        impl_->refresh(*entry);
}

void Guests::grant(const std::string &uuid, std::uint64_t bytes) {
    impl_->grant(uuid, bytes);
}

Guests::Counters Guests::counters() const {
    Counters counters = impl_->counters_;
    const auto add = [&](const QmpSession::Counters &of) {
        counters.commands += of.commands;
        counters.command_failures += of.failures;
        counters.timeouts += of.timeouts;
        counters.malformed += of.malformed;
    };
    add(impl_->ended_);
    for (const auto &[uuid, entry] : impl_->entries_)
        if (entry->session)
            add(entry->session->counters());
    return counters;
}

} // namespace tidemark::daemon
