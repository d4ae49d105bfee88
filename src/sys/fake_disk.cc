// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/fake_disk.h"

#include "base/check.h"
#include "sys/fake_random.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <thread>

namespace tidemark {
namespace {

constexpr std::uint64_t kNoPage = UINT64_MAX;

// Where the request's pages are in memory, in order.
std::vector<std::byte *> pages_of(const IoRequest &request) {
    std::vector<std::byte *> pages;
    for (const iovec &part : request.parts) {
        for (std::size_t at = 0; at < part.iov_len; at += kPageSize)
            pages.push_back(static_cast<std::byte *>(part.iov_base) + at);
    }
    return pages;
}

class FakeQueue final : public IoQueue {
  public:
    explicit FakeQueue(std::shared_ptr<FakeDiskState> state) : state_(std::move(state)) {}
    ~FakeQueue() override { TIDEMARK_CHECK(flying_.empty()); }
    FakeQueue(const FakeQueue &) = delete;
    FakeQueue &operator=(const FakeQueue &) = delete;

    void submit(std::span<IoRequest *const> requests, Start) override {
        if (flying_.empty())
            owner_ = std::this_thread::get_id();
        check_owner();
        flying_.insert(flying_.end(), requests.begin(), requests.end());
    }
    IoRequest *wait_one() override {
        if (flying_.empty())
            return nullptr;
        check_owner();
        state_->wait_until_let_go();
        std::this_thread::yield();
        return finish();
    }
    IoRequest *try_one() override {
        if (flying_.empty())
            return nullptr;
        check_owner();
        return state_->ready() ? finish() : nullptr;
    }
    std::size_t in_flight() const override { return flying_.size(); }

  private:
    // As with the ring of the real one.
    void check_owner() const { TIDEMARK_CHECK(owner_ == std::this_thread::get_id()); }
    // Finishes the newest first, so that nobody comes to rely on the order. The bytes move only now:
    // a buffer that is reused too early is caught.
    IoRequest *finish() {
        IoRequest *request = flying_.back();
        flying_.pop_back();
        state_->run(*request);
        return request;
    }

    std::shared_ptr<FakeDiskState> state_;
    std::deque<IoRequest *> flying_;
    std::thread::id owner_; // of what is in flight
};

class FakeDisk final : public Disk {
  public:
    explicit FakeDisk(std::shared_ptr<FakeDiskState> state) : state_(std::move(state)) {}
    Result<std::unique_ptr<IoQueue>> open_queue(std::uint32_t depth) override {
        TIDEMARK_CHECK(depth > 0);
        return std::make_unique<FakeQueue>(state_);
    }
    int discard(std::uint64_t offset, std::uint64_t length) override {
        return state_->discard(offset, length);
    }
    std::uint64_t size() const override { return state_->size(); }
    bool direct() const override { return true; }
    int descriptor() const override { return -1; }

  private:
    std::shared_ptr<FakeDiskState> state_;
};

} // namespace

std::unique_ptr<Disk> make_fake_disk(std::shared_ptr<FakeDiskState> state) {
    return std::make_unique<FakeDisk>(std::move(state));
}

void FakeDiskState::set_chances(Chances chances) {
    const MutexLock lock(mutex_);
    chances_ = chances;
}

void FakeDiskState::fail_reads_at(std::uint64_t offset, int error, std::uint32_t times) {
    const MutexLock lock(mutex_);
    read_scripts_.insert_or_assign(offset, Script{error, times});
}

void FakeDiskState::fail_writes_at(std::uint64_t offset, int error, std::uint32_t times) {
    const MutexLock lock(mutex_);
    write_scripts_.insert_or_assign(offset, Script{error, times});
}

void FakeDiskState::fail_writes(int error, std::uint32_t times) {
    const MutexLock lock(mutex_);
    all_writes_ = {error, times};
}

void FakeDiskState::fail_discards(int error, std::uint32_t times) {
    const MutexLock lock(mutex_);
    discards_ = {error, times};
}

void FakeDiskState::corrupt(std::uint64_t offset) {
    const MutexLock lock(mutex_);
    pages_[offset][next_random(random_) % kPageSize] ^= std::byte{0x10};
}

void FakeDiskState::hold() {
    const MutexLock lock(mutex_);
    held_ = true;
}

void FakeDiskState::let_go() {
    const MutexLock lock(mutex_);
    held_ = false;
    let_go_.notify_all();
}

void FakeDiskState::wait_until_let_go() {
    const MutexLock lock(mutex_);
    while (held_)
        let_go_.wait(mutex_);
}

bool FakeDiskState::ready() {
    const MutexLock lock(mutex_);
    return !held_ && !chance(random_, chances_.not_yet);
}

std::uint64_t FakeDiskState::reads() const {
    const MutexLock lock(mutex_);
    return reads_;
}

std::uint64_t FakeDiskState::writes() const {
    const MutexLock lock(mutex_);
    return writes_;
}

std::uint64_t FakeDiskState::injected() const {
    const MutexLock lock(mutex_);
    return injected_;
}

std::uint64_t FakeDiskState::stored_pages() const {
    const MutexLock lock(mutex_);
    return pages_.size();
}

// The error of the first script whose page the request covers, 0 if none.
int FakeDiskState::scripted(std::map<std::uint64_t, Script> &scripts, const IoRequest &request) {
    const auto script = scripts.lower_bound(request.offset);
    if (script == scripts.end() || script->first >= request.offset + request.length())
        return 0;
    const int error = script->second.error;
    if (--script->second.times == 0)
        scripts.erase(script);
    return error;
}

int FakeDiskState::write_error(const IoRequest &request) {
    if (all_writes_.times > 0) {
        --all_writes_.times;
        return all_writes_.error;
    }
    if (const int error = scripted(write_scripts_, request); error != 0)
        return error;
    if (chance(random_, chances_.write_error))
        return EIO;
    if (chance(random_, chances_.no_space))
        return ENOSPC;
    return 0;
}

int FakeDiskState::read_error(const IoRequest &request) {
    if (const int error = scripted(read_scripts_, request); error != 0)
        return error;
    return chance(random_, chances_.read_error) ? EIO : 0;
}

// Writes the first `pages` pages except the one numbered `skipped`.
void FakeDiskState::write_pages(const IoRequest &request, std::uint64_t pages,
                                std::uint64_t skipped) {
    const std::vector<std::byte *> from = pages_of(request);
    for (std::uint64_t index = 0; index < pages; ++index) {
        if (index != skipped)
            std::memcpy(pages_[request.offset + bytes_of(index)].data(), from[index], kPageSize);
    }
}

void FakeDiskState::read_pages(const IoRequest &request) {
    const std::vector<std::byte *> to = pages_of(request);
    for (std::size_t index = 0; index < to.size(); ++index) {
        const auto page = pages_.find(request.offset + bytes_of(index));
        if (page != pages_.end())
            std::memcpy(to[index], page->second.data(), kPageSize);
        else
            std::memset(to[index], 0, kPageSize);
    }
    if (chance(random_, chances_.bit_flip)) {
        ++injected_;
        to[next_random(random_) % to.size()][next_random(random_) % kPageSize] ^= std::byte{1};
    }
}

void FakeDiskState::run(IoRequest &request) {
    const MutexLock lock(mutex_);
    const std::uint64_t length = request.length();
    // What O_DIRECT would refuse, and what lies outside, is a mistake of ours.
    TIDEMARK_CHECK(length > 0 && length % kPageSize == 0 && request.offset % kPageSize == 0);
    TIDEMARK_CHECK(request.offset <= size_ && length <= size_ - request.offset);
    for (const iovec &part : request.parts)
        TIDEMARK_CHECK(part.iov_len % kPageSize == 0);
    ++(request.write ? writes_ : reads_);
    const int error = request.write ? write_error(request) : read_error(request);
    const std::uint64_t pages = length / kPageSize;
    if (error != 0) {
        ++injected_;
        request.result = -error;
        return;
    }
    request.result = static_cast<std::int64_t>(length);
    if (!request.write) {
        read_pages(request);
    } else if (chance(random_, chances_.torn_write)) {
        ++injected_;
        write_pages(request, next_random(random_) % pages, kNoPage);
        request.result = -EIO;
    } else if (chance(random_, chances_.lost_write)) {
        ++injected_;
        write_pages(request, pages, next_random(random_) % pages);
    } else {
        write_pages(request, pages, kNoPage);
    }
}

int FakeDiskState::discard(std::uint64_t offset, std::uint64_t length) {
    const MutexLock lock(mutex_);
    TIDEMARK_CHECK(offset % kPageSize == 0 && length % kPageSize == 0);
    TIDEMARK_CHECK(offset <= size_ && length <= size_ - offset);
    if (discards_.times > 0) {
        --discards_.times;
        ++injected_;
        return discards_.error;
    }
    pages_.erase(pages_.lower_bound(offset), pages_.lower_bound(offset + length));
    return 0;
}

} // namespace tidemark
