// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/cold_reader.h"

#include "base/check.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

namespace tidemark {

namespace {
constexpr std::size_t kMostTogether = 32; // pages read by one request
alignas(kPageSize) constexpr std::array<std::byte, kPageSize> kZeros{};

bool same_place(const LoadItem &a, const LoadItem &b) {
    return a.slot == b.slot && a.tier == b.tier && a.checksum == b.checksum;
}
} // namespace

void ColdReader::Free::operator()(std::byte *bytes) const {
    std::free(bytes);
}

ColdReader::ColdReader(Backend &backend, std::uint32_t pages)
    : backend_(backend), buffers_(pages), reads_(pages) {
    memory_.reset(static_cast<std::byte *>(std::aligned_alloc(kPageSize, bytes_of(pages))));
    TIDEMARK_CHECK(memory_ != nullptr);
    for (std::uint32_t i = pages; i-- > 0;) {
        free_.push_back(i);
        idle_reads_.push_back(i);
    }
    charge();
}

Result<std::unique_ptr<ColdReader>> ColdReader::open(Backend &backend, std::uint32_t pages) {
    std::unique_ptr<ColdReader> reader(new ColdReader(backend, pages));
    for (const auto &tier : backend.tiers_) {
        auto queue = tier->disk().open_queue(pages);
        if (!queue)
            return tl::unexpected<Error>(queue.error());
        reader->queues_.push_back(std::move(*queue));
    }
    return reader;
}

ColdReader::~ColdReader() {
    for (const auto &queue : queues_) // the kernel writes to our memory until then
        while (queue->wait_one() != nullptr) {
        }
    uncharge();
}

int ColdReader::fetch(std::span<const PageIndex> pages, std::span<const std::byte *> bytes) {
    TIDEMARK_CHECK(pages.size() <= buffers_.size() && bytes.size() >= pages.size());
    ++turn_;
    for (const std::uint32_t buffer : held_)
        release(buffer);
    held_.clear();
    sightings_.clear();
    for (std::uint32_t i = 0; i < pages.size(); ++i) {
        if (const auto known = buffer_of_.find(pages[i].value);
            known != buffer_of_.end() && buffers_[known->second].turn == turn_)
            return EINVAL; // twice
        held_.push_back(take_buffer(pages[i]));
        sightings_.emplace_back();
        sightings_.back().page = pages[i];
        sightings_.back().index = i;
        sightings_.back().copy = bytes_of_buffer(held_[i]);
    }
    int failed = 0;
    while (!sightings_.empty()) {
        // A buffer must not be copied to while the disk still writes to it.
        for (const Sighting &sighting : sightings_)
            wait_for(held_[sighting.index]);
        see();
        std::erase_if(sightings_, [&](const Sighting &sighting) {
            return settle(sighting, bytes[sighting.index], failed);
        });
        submit();
    }
    return failed;
}

// True if that answers what the page holds; else a read of it has been added.
bool ColdReader::settle(const Sighting &sighting, const std::byte *&bytes, int &failed) {
    using Place = Sighting::Place;
    const std::uint32_t number = held_[sighting.index];
    Buffer &buffer = buffers_[number];
    bytes = nullptr;
    switch (sighting.place) {
    case Place::zero:
        bytes = kZeros.data();
        return true;
    case Place::copied:
        bytes = bytes_of_buffer(number);
        return true;
    case Place::lost:
        failed = sighting.error;
        return true;
    case Place::stored:
        break;
    case Place::mapped:
    case Place::unknown:
        return true;
    }
    if (buffer.phase != Buffer::Phase::read || !same_place(buffer.item, sighting.item))
        buffer.attempts = 0;
    if (buffer.phase == Buffer::Phase::read && buffer.item.error == 0) {
        // Whichever slot they came from, and whatever happened since: this is what the page holds now.
        if (buffer.checksum == sighting.item.checksum) {
            bytes = bytes_of_buffer(number);
            return true;
        }
        if (same_place(buffer.item, sighting.item)) {
            ++backend_.tiers_[sighting.item.tier]->counters().checksum_errors;
            buffer.item.error = EBADMSG;
        }
    }
    if (++buffer.attempts > Loader::kAttempts) {
        failed = buffer.item.error;
        return true;
    }
    add_read(number, sighting.item);
    return false;
}

void ColdReader::read_ahead(std::span<const PageIndex> pages) {
    ++turn_;
    for (const std::uint32_t buffer : held_)
        buffers_[buffer].turn = turn_;
    finish_some();
    sightings_.clear();
    for (const PageIndex page : pages) {
        if (const auto known = buffer_of_.find(page.value); known != buffer_of_.end()) {
            buffers_[known->second].turn = turn_;
            continue;
        }
        sightings_.emplace_back();
        sightings_.back().page = page;
    }
    for (std::uint32_t i = 0; i < buffers_.size(); ++i)
        if (buffers_[i].phase == Buffer::Phase::read && buffers_[i].turn != turn_)
            release(i);
    see_stored();
    for (const Sighting &sighting : sightings_) {
        if (free_.size() <= 1) // one is left for a page that is to be copied
            break;
        if (sighting.place == Sighting::Place::stored)
            add_read(take_buffer(sighting.page), sighting.item);
    }
    submit();
}

std::uint32_t ColdReader::take_buffer(PageIndex page) {
    const auto [known, added] = buffer_of_.try_emplace(page.value, 0);
    if (added) {
        known->second = idle_buffer();
        buffers_[known->second] = {};
        buffers_[known->second].item.page = page;
        buffers_[known->second].phase = Buffer::Phase::empty;
    }
    buffers_[known->second].turn = turn_;
    return known->second;
}

std::uint32_t ColdReader::idle_buffer() {
    if (free_.empty()) {
        // What was read ahead longest ago. There is one: a call wants no more pages than there are buffers.
        std::uint32_t oldest = 0;
        for (std::uint32_t i = 1; i < buffers_.size(); ++i)
            if (buffers_[i].turn < buffers_[oldest].turn)
                oldest = i;
        TIDEMARK_CHECK(buffers_[oldest].turn != turn_);
        wait_for(oldest);
        release(oldest);
    }
    const std::uint32_t buffer = free_.back();
    free_.pop_back();
    return buffer;
}

void ColdReader::release(std::uint32_t buffer) {
    buffer_of_.erase(buffers_[buffer].item.page.value);
    buffers_[buffer].phase = Buffer::Phase::free;
    free_.push_back(buffer);
}

// With the one before it, if their slots are neighbours.
void ColdReader::add_read(std::uint32_t buffer, const LoadItem &item) {
    Buffer &into = buffers_[buffer];
    into.item = item;
    into.phase = Buffer::Phase::reading;
    if (!new_reads_.empty()) {
        Read &last = reads_[new_reads_.back()];
        const LoadItem &before = buffers_[last.buffers.back()].item;
        if (before.tier == item.tier && before.slot.next(1) == item.slot &&
            last.buffers.size() < kMostTogether) {
            last.buffers.push_back(buffer);
            last.request.parts.push_back({bytes_of_buffer(buffer), kPageSize});
            return;
        }
    }
    const std::uint32_t number = idle_reads_.back(); // there are as many as buffers
    idle_reads_.pop_back();
    new_reads_.push_back(number);
    Read &read = reads_[number];
    read.buffers.assign(1, buffer);
    read.request.parts.assign(1, {bytes_of_buffer(buffer), kPageSize});
    read.request.offset = item.slot.byte_offset();
    read.request.disk = item.tier;
    read.request.tag = number;
    read.request.result = 0;
}

void ColdReader::submit() {
    for (std::size_t tier = 0; tier < queues_.size(); ++tier) {
        starting_.clear();
        for (const std::uint32_t number : new_reads_)
            if (reads_[number].request.disk == tier)
                starting_.push_back(&reads_[number].request);
        if (!starting_.empty())
            queues_[tier]->submit(starting_);
    }
    new_reads_.clear();
}

void ColdReader::finish(const IoRequest &request) {
    Read &read = reads_[request.tag];
    TierCounters &counters = backend_.tiers_[request.disk]->counters();
    const bool good = request.result == static_cast<std::int64_t>(request.length());
    if (good)
        counters.read_bytes += request.length();
    else
        ++counters.read_errors;
    for (const std::uint32_t number : read.buffers) {
        Buffer &buffer = buffers_[number];
        buffer.phase = Buffer::Phase::read;
        buffer.item.error = good ? 0 : EIO;
        if (good)
            buffer.checksum = page_checksum(bytes_of_buffer(number));
        else if (request.result < 0)
            buffer.item.error = static_cast<int>(-request.result);
    }
    idle_reads_.push_back(static_cast<std::uint32_t>(request.tag));
}

void ColdReader::finish_some() {
    for (const auto &queue : queues_)
        while (const IoRequest *request = queue->try_one())
            finish(*request);
}

void ColdReader::wait_for(std::uint32_t buffer) {
    while (buffers_[buffer].phase == Buffer::Phase::reading) {
        const IoRequest *request = queues_[buffers_[buffer].item.tier]->wait_one();
        TIDEMARK_CHECK(request != nullptr);
        finish(*request);
    }
}

} // namespace tidemark
