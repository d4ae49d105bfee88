// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/streams.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace tidemark {

namespace {
// A second page is no walk yet: what lies across two pages looks like that. The third one is.
constexpr std::uint32_t kSeenOnce = 1;
constexpr std::uint32_t kFirstWindow = 2;
constexpr std::int64_t kLongestStride = 64;
} // namespace

bool Streams::expects(const Stream &stream, std::int64_t page) const {
    const std::int64_t apart = (page - stream.next) / stream.stride;
    if (stream.window == 0 || (page - stream.next) % stream.stride != 0 || apart < 0 ||
        apart > static_cast<std::int64_t>(stream.slack))
        return false;
    for (std::int64_t over = stream.next; over != page; over += stream.stride)
        if (faults_(PageIndex{static_cast<std::uint32_t>(over)}))
            return false;
    return true;
}

Ahead Streams::look(PageIndex page, std::uint32_t most) const {
    for (const Stream &stream : streams_)
        if (expects(stream, page.value))
            return stream.window == kSeenOnce
                       ? Ahead{}
                       : Ahead{std::min(most, stream.window * 4), stream.stride};
    return {};
}

void Streams::passed(PageIndex at, std::uint32_t pages) {
    for (Stream &stream : streams_)
        if (expects(stream, at.value)) {
            stream.last = at.value;
            stream.next = stream.last + std::int64_t{pages} * stream.stride;
            return;
        }
    served(at, pages);
}

std::uint32_t Streams::gone_over(PageIndex page) const {
    for (const Stream &stream : streams_)
        if (stream.window > kSeenOnce && stream.stride == 1 && page.value > stream.last &&
            page.value < stream.next)
            return static_cast<std::uint32_t>(stream.next - page.value);
    return 0;
}

std::size_t Streams::walks() const {
    return static_cast<std::size_t>(
        std::count_if(streams_.begin(), streams_.end(), [this](const Stream &stream) {
            return stream.walks() && walked_ - stream.seen <= kRecent;
        }));
}

Streams::Stream *Streams::nearest(std::int64_t page) {
    Stream *found = nullptr;
    std::int64_t least = kLongestStride + 1;
    for (Stream &stream : streams_)
        if (const std::int64_t apart = std::abs(page - stream.last);
            stream.window != 0 && apart != 0 && apart < least) {
            found = &stream;
            least = apart;
        }
    return found;
}

std::uint32_t Streams::served(PageIndex at, std::uint32_t pages, std::uint32_t read) {
    const std::int64_t page = at.value;
    for (Stream &stream : streams_)
        if (expects(stream, page)) {
            stream.next = page + std::int64_t{pages} * stream.stride;
            stream.last = page;
            stream.window = stream.slack = std::clamp(pages, kFirstWindow, kMost);
            if (stream.walks())
                stream.seen = walked_ += pages;
            return std::exchange(stream.read, read);
        }
    if (Stream *const near = nearest(page); near != nullptr && pages == 1) {
        const auto stride = static_cast<std::int32_t>(page - near->last);
        if (stride == near->trial)
            *near = {page + stride, page, stride, 0, kFirstWindow, kFirstWindow, read, 0};
        else
            *near = {page + 1, page, 1, stride, kSeenOnce, 0, read, 0};
        return 0;
    }
    streams_[oldest_++ % streams_.size()] = {
        page + pages, page, 1, 0, pages > 1 ? kFirstWindow : kSeenOnce, 0, read, 0};
    return 0;
}

} // namespace tidemark
