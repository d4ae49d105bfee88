// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where pages are, for readers that change nothing.
#include "engine/cold_reader.h"

#include <cerrno>
#include <cstring>

namespace tidemark {

namespace {
// Its bytes are where one thread alone knows. (S can be copied from while a page is being written.)
constexpr bool out_of_sight(PageState state) {
    return in_transit(state) && state != PageState::writing;
}
} // namespace

void ColdReader::see() {
    MutexLock lock(backend_.mutex_);
    ++backend_.transit_waiters_;
    for (Sighting &sighting : sightings_) {
        while (!backend_.stopping_ && out_of_sight(backend_.table_[sighting.page].state))
            backend_.transit_done_.wait(backend_.mutex_);
        see_one(sighting);
    }
    --backend_.transit_waiters_;
}

void ColdReader::see_one(Sighting &sighting) {
    using Place = Sighting::Place;
    const PageEntry &entry = backend_.table_[sighting.page];
    if (!backend_.armed_) {
        sighting.place = Place::mapped;
        return;
    }
    switch (entry.state) {
    case PageState::resident:
    case PageState::remote: // whoever reads it waits for it
        sighting.place = Place::mapped;
        break;
    case PageState::untouched:
    case PageState::zero:
        sighting.place = Place::zero;
        break;
    case PageState::staged:
    case PageState::writing:
        // Under the lock: a fault may take S back at any other time. S is mapped, so nothing is waited for in this.
        std::memcpy(sighting.copy, backend_.memory_->shadow(sighting.page), kPageSize);
        sighting.place = Place::copied;
        break;
    case PageState::arrived:
        std::memcpy(sighting.copy,
                    Backend::arrival_bytes(*backend_.find_arrival(sighting.page), sighting.page),
                    kPageSize);
        sighting.place = Place::copied;
        break;
    case PageState::stored:
        sighting.item = Backend::item_of(sighting.page, entry);
        sighting.place = Place::stored;
        break;
    case PageState::held:
    case PageState::poisoned:
        sighting.error = entry.state == PageState::held ? EIO : EHWPOISON;
        sighting.place = Place::lost;
        break;
    default: // the backend is going away
        sighting.error = ESHUTDOWN;
        sighting.place = Place::lost;
        break;
    }
}

void ColdReader::see_stored() {
    MutexLock lock(backend_.mutex_);
    for (Sighting &sighting : sightings_)
        if (const PageEntry &entry = backend_.table_[sighting.page];
            entry.state == PageState::stored) {
            sighting.item = Backend::item_of(sighting.page, entry);
            sighting.place = Sighting::Place::stored;
        }
}

// As if the limit were cut by that much: the evictor makes room.
void ColdReader::charge() {
    MutexLock lock(backend_.mutex_);
    backend_.charged_ += pages();
    if (backend_.free_pages() < backend_.reserve_low_)
        backend_.reserve_short_ = true;
    backend_.work_.notify_one();
}

void ColdReader::uncharge() {
    MutexLock lock(backend_.mutex_);
    backend_.uncharge(pages());
}

} // namespace tidemark
