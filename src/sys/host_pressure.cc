// SPDX-License-Identifier: GPL-2.0-or-later
#include "sys/host_pressure.h"

#include "sys/unique_fd.h"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

namespace tidemark {

double some_avg10(const std::string &text) {
    constexpr const char *kKey = "some avg10=";
    const std::size_t at = text.find(kKey);
    if (at == std::string::npos)
        return 0;
    return std::strtod(text.c_str() + at + std::string(kKey).size(), nullptr) / 100;
}

double host_io_pressure() {
    const UniqueFd file(open("/proc/pressure/io", O_RDONLY | O_CLOEXEC));
    std::array<char, 256> text{};
    if (file.get() < 0)
        return 0;
    const ssize_t bytes = read(file.get(), text.data(), text.size());
    return bytes <= 0 ? 0 : some_avg10({text.data(), static_cast<std::size_t>(bytes)});
}

} // namespace tidemark
