// SPDX-License-Identifier: GPL-2.0-or-later
//
// Keeps domains and guests as libvirt has them, although the hook tells of a start and of a stop only once, with a
// short deadline. Three others know: libvirt's events, QEMUs that come and go, and the domain's file, which the
// hook writes before a start and removes after the end. A domain whose file is gone and whose QEMU is not connected
// has ended; a file that nobody removed is left_files' matter.
#pragma once

#include "base/result.h"
#include "daemon/guests.h"
#include "daemon/left_files.h"
#include "daemon/libvirt_events.h"

#include <chrono>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}
namespace tidemark::domain {
struct HostConfig;
}

namespace tidemark::daemon {

class Domains;

struct DomainWatchTimes {
    std::chrono::milliseconds look{2000}; // at all files
    // What nobody heard of since it was prepared may still be about to get its file.
    std::chrono::milliseconds grace{60000};
    // A file whose QEMU is away: libvirt is asked whether the domain has ended.
    std::chrono::milliseconds ask{60000};
};

class DomainWatch : public GuestObserver {
  public:
    // Everything that is given outlives it. Observes and starts at once.
    DomainWatch(boost::asio::io_context &io, const domain::HostConfig &config, Domains &domains,
                Guests &guests, DomainWatchTimes times = {});
    ~DomainWatch() override;
    DomainWatch(const DomainWatch &) = delete;
    DomainWatch &operator=(const DomainWatch &) = delete;

    void stop();

    // The hook: its file may be another one.
    void changed(const std::string &uuid);
    // The hook: it stopped. What the store refuses is tried again until it takes it.
    Result<void> stopped(const std::string &uuid);
    void follow(const LibvirtDomainChange &change);
    // Whom to ask about files that stayed behind. Without it they stay.
    void ask_with(LeftFiles::Ask ask);

    void guest_connected(const Guest &guest) override;
    void guest_disconnected(const Guest &guest) override;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

} // namespace tidemark::daemon
