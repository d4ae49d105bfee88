// SPDX-License-Identifier: GPL-2.0-or-later
//
// Policies between what is typed, what the daemon is sent, and what a person reads.
#pragma once

#include "cli/api.h"
#include "cli/commands.h"
#include "cli/text.h"

#include <string>

namespace tidemark::cli {

// The members of a policy object that were typed put into `policy`, the rest as it was.
void put_policy(const PolicyOptions &options, Json &policy);

// "lru, prefetch 10 s ahead, cold after 120 s"; what nobody set is not mentioned.
std::string policy_text(const Json &policy);
// One line for each.
void add_policy_rows(const Json &policy, Table &table);

} // namespace tidemark::cli
