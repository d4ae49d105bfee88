// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is served as it is: the web page, the description of this interface, and the metrics.
#include "daemon/json_body.h"
#include "daemon/metrics.h"
#include "daemon/rest.h"
#include "daemon/web_files.h"

namespace tidemark::daemon {
namespace {

HttpResponse file_response(const WebFile &file) {
    HttpResponse response;
    response.content_type = file.content_type;
    response.body = std::string(file.content);
    response.headers.emplace_back("ETag", etag_of_text(file.content));
    // The page loads nothing from elsewhere, and nobody frames it.
    response.headers.emplace_back(
        "Content-Security-Policy",
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
    response.headers.emplace_back("Referrer-Policy", "no-referrer");
    return response;
}

} // namespace

void add_page_routes(Router &router, const Metrics &metrics) {
    for (const WebFile &file : web_files()) {
        router.add_plain("GET", file.path,
                         [&file](const HttpRequest &) { return file_response(file); });
    }
    router.add_plain("GET", "/metrics", [&metrics](const HttpRequest &) {
        HttpResponse response;
        response.content_type = Metrics::kContentType;
        response.body = metrics.text();
        return response;
    });
}

} // namespace tidemark::daemon
