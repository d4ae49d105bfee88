// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/prefetch_queue.h"

#include <algorithm>
#include <utility>

namespace tidemark {

std::optional<std::uint64_t> PrefetchQueue::push(std::span<const PageRun> runs,
                                                 const PrefetchTerms &terms) {
    std::uint64_t pages = 0;
    for (const PageRun run : runs)
        pages += run.count;
    if (queued_ + pages > kPagesMost || pieces_ + runs.size() > kPiecesMost)
        return std::nullopt;
    Order order{++tickets_, terms, {}, 0};
    in_queue_.resize(pages_);
    for (const PageRun run : runs)
        for (PageIndex page = run.first; page < run.end(); page = page.next()) {
            if (in_queue_[page.value])
                continue;
            in_queue_[page.value] = true;
            ++queued_;
            if (!order.runs.empty() && order.runs.back().end() == page)
                ++order.runs.back().count;
            else
                order.runs.push_back({page, 1});
        }
    pieces_ += order.runs.size();
    const auto place = std::find_if(orders_.begin(), orders_.end(), [&terms](const Order &other) {
        return other.terms.confidence < terms.confidence;
    });
    if (!order.runs.empty())
        orders_.insert(place, std::move(order));
    if (orders_.empty())
        in_queue_ = {};
    return tickets_;
}

PrefetchQueue::Order *PrefetchQueue::next(PrefetchTerms::Time now) {
    for (auto it = orders_.begin(); it != orders_.end();) {
        if (it->terms.until > now)
            return &*it;
        Order &late = *it++;
        drop(late);
    }
    return nullptr;
}

void PrefetchQueue::served(Order &order) {
    PageRun &run = order.runs.front();
    in_queue_[run.first.value] = false;
    --queued_;
    run = {run.first.next(), run.count - 1};
    if (run.count != 0)
        return;
    order.runs.pop_front();
    --pieces_;
    if (order.runs.empty())
        forget(order);
}

void PrefetchQueue::drop(Order &order) {
    for (const PageRun run : order.runs) {
        for (PageIndex page = run.first; page < run.end(); page = page.next())
            in_queue_[page.value] = false;
        queued_ -= run.count;
        dropped_ += run.count;
    }
    pieces_ -= order.runs.size();
    forget(order);
}

std::uint64_t PrefetchQueue::cancel(std::uint64_t ticket) {
    const std::uint64_t before = queued_, dropped = dropped_;
    for (auto it = orders_.begin(); it != orders_.end();) {
        Order &order = *it++;
        if (ticket == 0 || order.ticket == ticket)
            drop(order);
    }
    dropped_ = dropped; // asked for, so no failure
    return before - queued_;
}

std::uint64_t PrefetchQueue::take_dropped() {
    return std::exchange(dropped_, 0);
}

std::uint64_t PrefetchQueue::bytes() const {
    return in_queue_.size() / 8 + pieces_ * sizeof(PageRun) + orders_.size() * sizeof(Order);
}

void PrefetchQueue::forget(const Order &order) {
    orders_.remove_if([&order](const Order &other) { return &other == &order; });
    if (orders_.empty())
        in_queue_ = {};
}

bool is_watched(PageIndex page, const PrefetchTerms &terms) {
    if (terms.confidence < PrefetchQueue::kMapped)
        return true;
    const bool predicted =
        terms.origin == Origin::record ? terms.confidence < 1 : terms.origin != Origin::request;
    return predicted && page.value / 16 * 0x9e3779b1u >> 28 == 0;
}

} // namespace tidemark
