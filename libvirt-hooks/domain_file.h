// SPDX-License-Identifier: GPL-2.0-or-later
//
// domains/<uuid>.json in the run directory: there from prepare to release, read by QEMU and the daemon.
#pragma once

#include "base/result.h"
#include "domain/host_config.h"
#include "domain/resolve.h"

#include <string>

namespace tidemark::hook {

// All of it or nothing is there at any moment. Readable by root and by the group that QEMU runs in:
// that of `dac_label` ("user:group"), of libvirt's qemu.conf, or Debian's; by all if none is known.
Result<void> write_domain_file(const domain::ResolvedDomain &resolved,
                               const domain::HostConfig &config, const std::string &dac_label);

// It need not be there.
void remove_domain_file(const domain::HostConfig &config, const std::string &uuid);

} // namespace tidemark::hook
