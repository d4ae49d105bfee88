// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/read_on.h"

#include <algorithm>
#include <utility>

namespace tidemark {

namespace {
constexpr auto kMarkWaits = std::chrono::seconds(1); // then it is on probation like any other page
} // namespace

void ReadOn::want(Backend &b, const Course &course) {
    b.read_on_.due = course;
}

bool ReadOn::came_to_mark(Backend &b, const Fault &fault) {
    auto &windows = b.read_on_.windows;
    const auto found = std::find_if(windows.begin(), windows.end(), [&](const auto &window) {
        return window && window->mark == fault.page;
    });
    if (found == windows.end())
        return false;
    const MarkedWindow window = *std::exchange(*found, std::nullopt);
    const bool stream = window.course.origin == Origin::streams;
    // Has it been a mark all the time, and is it this course that has come to it?
    if (b.table_[fault.page].origin != window.course.origin)
        return false;
    const Ahead ahead = b.streams_.look(fault.page, Streams::kMost);
    if (stream ? !ahead.walks() || ahead.stride != window.course.stride
               : fault.thread_id != window.course.thread_id)
        return false;
    if (b.follows(Origin::successors)) {
        b.expected_.clear();
        b.counters_.prefetch.used[index_of(Origin::successors)] +=
            window.course.read + b.successors_.look(fault.page, fault.thread_id, 0, b.expected_);
        b.successors_.served(fault.page, fault.thread_id, {&window.course.last, 1});
    }
    b.walked(fault.page, stream ? window.pages : 1, stream ? window.read : 0);
    Course next = window.course;
    next.read = stream ? 0 : window.read;
    want(b, next);
    return true;
}

void ReadOn::start(Backend &b) {
    Demand *const free = b.free_demand();
    {
        MutexLock lock(b.mutex_);
        const auto due = std::exchange(b.read_on_.due, std::nullopt);
        if (!due || free == nullptr || !plan(b, *due, *free->loader))
            return;
    }
    free->reads_on = true;
    b.start_demand(*free);
}

// The mark is the first page that has to be read.
bool ReadOn::plan(Backend &b, const Course &course, Loader &loader) {
    loader.items.clear();
    b.expected_.clear();
    if (course.origin == Origin::streams)
        b.expect_stream(course.last, {Backend::kLoadWindow + 1, course.stride});
    else
        b.successors_.behind(course.last, Backend::kLoadWindow, b.expected_);
    MarkedWindow window{.course = course};
    for (const PageIndex page : b.expected_) {
        if (b.table_[page].state == PageState::stored) {
            if (loader.full() || !b.charge(1, true))
                break;
            b.add_load(page, loader, course.origin);
        }
        window.pages += loader.items.empty() ? 0 : 1;
        window.course.last = page;
    }
    if (loader.items.empty())
        return false;
    window.mark = loader.items[0].page;
    window.read = static_cast<std::uint32_t>(loader.items.size()) - 1;
    b.issued(course.origin) += loader.items.size();
    ++b.demands_pending_;
    ReadOnState &state = b.read_on_;
    state.windows[state.oldest++ % state.windows.size()] = window;
    return true;
}

void ReadOn::land(Backend &b, Demand &demand, Loader::Items items) {
    const bool mark = items.first == 0;
    if (!mark || !b.stage_loaded(*demand.loader, 0, items.count, Clock::now() + kMarkWaits))
        b.land(*demand.loader, items.first, items.count, nullptr, EnterReason::unasked);
}

} // namespace tidemark
