// SPDX-License-Identifier: GPL-2.0-or-later
#include "engine/page_table.h"

namespace tidemark {

namespace {
constexpr std::uint16_t bit(PageState state) {
    return static_cast<std::uint16_t>(1u << static_cast<unsigned>(state));
}

// Row: the state a page leaves; bits: where it may go. The picture in page_table.h, as a table.
constexpr std::array<std::uint16_t, kPageStates> kAllowed = {
    /* untouched */
    static_cast<std::uint16_t>(bit(PageState::filling) | bit(PageState::resident) |
                               bit(PageState::remote)),
    /* zero      */
    static_cast<std::uint16_t>(bit(PageState::filling) | bit(PageState::untouched) |
                               bit(PageState::remote)),
    /* filling   */
    static_cast<std::uint16_t>(bit(PageState::resident) | bit(PageState::staged) |
                               bit(PageState::arrived) | bit(PageState::untouched) |
                               bit(PageState::zero) | bit(PageState::remote)),
    /* resident  */ static_cast<std::uint16_t>(bit(PageState::staging) | bit(PageState::filling)),
    /* staging   */
    static_cast<std::uint16_t>(bit(PageState::staged) | bit(PageState::resident) |
                               bit(PageState::untouched)),
    /* staged    */ static_cast<std::uint16_t>(bit(PageState::writing) | bit(PageState::filling)),
    /* writing   */
    static_cast<std::uint16_t>(bit(PageState::stored) | bit(PageState::zero) |
                               bit(PageState::staged) | bit(PageState::filling)),
    /* stored    */
    static_cast<std::uint16_t>(bit(PageState::loading) | bit(PageState::untouched) |
                               bit(PageState::remote)),
    /* loading   */
    static_cast<std::uint16_t>(bit(PageState::resident) | bit(PageState::staged) |
                               bit(PageState::arrived) | bit(PageState::stored) |
                               bit(PageState::held)),
    /* arrived   */
    static_cast<std::uint16_t>(bit(PageState::filling) | bit(PageState::stored) |
                               bit(PageState::zero) | bit(PageState::untouched) |
                               bit(PageState::remote)),
    /* held      */
    static_cast<std::uint16_t>(bit(PageState::stored) | bit(PageState::poisoned) |
                               bit(PageState::untouched) | bit(PageState::remote)),
    /* poisoned  */ bit(PageState::filling),
    /* remote    */
    static_cast<std::uint16_t>(bit(PageState::filling) | bit(PageState::untouched)),
};
} // namespace

bool transition_allowed(PageState from, PageState to) {
    return (kAllowed[static_cast<std::size_t>(from)] & bit(to)) != 0;
}

const char *name_of(PageState state) {
    constexpr std::array<const char *, kPageStates> names = {
        "untouched", "zero",    "filling", "resident", "staging",  "staged", "writing",
        "stored",    "loading", "arrived", "held",     "poisoned", "remote"};
    return names[static_cast<std::size_t>(state)];
}

} // namespace tidemark
