// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pressure stall information of the host (Documentation/accounting/psi.rst in the kernel).
#pragma once

#include <string>

namespace tidemark {

// The share of the last ten seconds in which some task waited for a disk; 0 if the kernel does not say.
double host_io_pressure();
// The same of the text of /proc/pressure/io.
double some_avg10(const std::string &text);

} // namespace tidemark
