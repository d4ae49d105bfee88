// SPDX-License-Identifier: GPL-2.0-or-later
//
// The files of web/ and openapi.json, which the build puts into the program (embed.py).
#pragma once

#include <span>
#include <string_view>

namespace tidemark::daemon {

struct WebFile {
    const char *path; // as it is asked for
    const char *content_type;
    std::string_view content;
};

std::span<const WebFile> web_files();

} // namespace tidemark::daemon
