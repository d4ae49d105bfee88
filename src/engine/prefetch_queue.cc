// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/prefetch_queue.h"

#include <algorithm>
#include <utility>

namespace tidemark {

PrefetchQueue::Order PrefetchQueue::order(std::span<const PageRun> runs,
                                          const PrefetchTerms &terms) {
    Order order;
    order.terms = terms;
    for (const PageRun run : runs) {
        order.pages += run.count;
        if (!order.runs.empty() && order.runs.back().end() == run.first)
            order.runs.back().count += run.count;
        else if (run.count != 0)
            order.runs.push_back(run);
    }
    return order;
}

std::optional<std::uint64_t> PrefetchQueue::push(Order &&order) {
    if (queued_ + order.pages > kPagesMost || pieces_ + order.runs.size() > kPiecesMost)
        return std::nullopt;
    order.ticket = ++tickets_;
    if (order.runs.empty())
        return tickets_;
    queued_ += order.pages;
    pieces_ += order.runs.size();
    // Of equals those for DRAM go first: the others would have the pages written to NVMe in between.
    const auto rank = [](const Order &one) {
        return std::pair(one.terms.confidence, one.terms.to_dram);
    };
    const auto place = std::find_if(orders_.begin(), orders_.end(),
                                    [&](const Order &other) { return rank(other) < rank(order); });
    orders_.insert(place, std::move(order));
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

bool PrefetchQueue::served(Order &order) {
    PageRun &run = order.runs.front();
    run = {run.first.next(), run.count - 1};
    --order.pages;
    --queued_;
    if (run.count != 0)
        return true;
    order.runs.pop_front();
    --pieces_;
    if (!order.runs.empty())
        return true;
    forget(order);
    return false;
}

void PrefetchQueue::drop(Order &order) {
    queued_ -= order.pages;
    dropped_ += order.pages;
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
    return pieces_ * sizeof(PageRun) + orders_.size() * sizeof(Order);
}

void PrefetchQueue::forget(const Order &order) {
    pieces_ -= order.runs.size();
    orders_.erase(std::find_if(orders_.begin(), orders_.end(),
                               [&order](const Order &other) { return &other == &order; }));
}

bool is_watched(PageIndex page, const PrefetchTerms &terms) {
    if (terms.confidence < PrefetchQueue::kMapped)
        return true;
    const bool predicted =
        terms.origin == Origin::record ? terms.confidence < 1 : terms.origin != Origin::request;
    return predicted && page.value / 16 * 0x9e3779b1u >> 28 == 0;
}

} // namespace tidemark
