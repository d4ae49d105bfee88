// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/api.h"

#include "cli/text.h"
#include "client/client.h"
#include "domain/group_id.h"
#include "domain/host_config.h"

#include <cstdio>

namespace tidemark::cli {
namespace {

tl::unexpected<Failure> refused(std::string sentence, unsigned status = 0) {
    return tl::unexpected<Failure>({Exit::failed, std::move(sentence), status});
}

// A command line may be any bytes, JSON may not.
Outcome<std::string> text_of_body(const Json &body) {
    if (body.is_null())
        return std::string();
    try {
        return body.dump();
    } catch (const Json::type_error &) {
        return tl::unexpected<Failure>(
            {Exit::usage, "a word on the command line is not UTF-8, and a name must be", 0});
    }
}

} // namespace

Outcome<std::string> Api::socket() {
    if (!session_.socket.empty())
        return session_.socket;
    if (socket_.empty()) {
        const auto config = domain::load_config(session_.config);
        if (!config)
            return tl::unexpected<Failure>({Exit::usage, config.error().sentence, 0});
        socket_ = config->api_socket();
    }
    return socket_;
}

Outcome<Json> Api::send(std::string_view method, const std::string &target, const Json &body,
                        const std::string &etag, std::string *etag_out) {
    const auto path = socket();
    if (!path)
        return tl::unexpected<Failure>(path.error());
    std::vector<client::Header> headers;
    if (!etag.empty())
        headers.push_back({"If-Match", etag});
    const auto text = text_of_body(body);
    if (!text)
        return tl::unexpected<Failure>(text.error());
    const auto reply = client::request(*path, method, target, *text, session_.deadline, headers);
    if (!reply)
        return tl::unexpected<Failure>({Exit::unreachable, reply.error().sentence, 0});
    if (!reply->ok())
        return refused(client::problem_sentence(*reply), reply->status);
    if (etag_out != nullptr)
        *etag_out = std::string(reply->header("ETag"));
    if (reply->body.empty())
        return Json();
    Json json = Json::parse(reply->body, nullptr, false);
    if (json.is_discarded())
        return refused("the daemon's answer to " + target + " is not JSON");
    return json;
}

Outcome<Json> Api::get(const std::string &target, std::string *etag_out) {
    return send("GET", target, Json(), {}, etag_out);
}

Outcome<Json> Api::list(const std::string &target) {
    Json items = Json::array();
    std::string after;
    do {
        auto page = get(target + (target.find('?') == std::string::npos ? "?" : "&") + "limit=200" +
                        (after.empty() ? "" : "&after=" + client::escape(after)));
        if (!page)
            return page;
        for (const Json &item : array_of(*page, "items"))
            items.push_back(item);
        const std::string next = text_of(*page, "next");
        // A daemon that names the same page again would be asked for ever.
        if (next == after || items.size() >= kItemsMost)
            break;
        after = next;
    } while (!after.empty());
    return items;
}

Outcome<std::string> Api::uuid_of(const std::string &name, const char *list_target,
                                  const char *uuid_key, const char *what) {
    if (const auto uuid = domain::normal_uuid(name))
        return *uuid;
    const auto items = list(list_target);
    if (!items)
        return tl::unexpected<Failure>(items.error());
    std::vector<std::string> found;
    for (const Json &item : *items) {
        if (text_of(item, "name") == name)
            found.push_back(text_of(item, uuid_key));
    }
    if (found.empty())
        return refused(std::string("there is no ") + what + " '" + name + "'");
    if (found.size() > 1)
        return refused("there are " + std::to_string(found.size()) + " of the name '" + name +
                       "': give the UUID, such as " + found.front());
    return found.front();
}

Outcome<std::string> Api::guest_uuid(const std::string &name) {
    return uuid_of(name, "/api/v1/guests", "uuid", "guest");
}

Outcome<std::string> Api::group_uuid(const std::string &name) {
    return uuid_of(name, "/api/v1/affinity_groups", "groupID", "group");
}

Exit complain(const Failure &failure) {
    std::fprintf(stderr, "tidemark: %s\n", failure.sentence.c_str());
    return failure.exit;
}

void print_json(const Json &json) {
    // What is not UTF-8 in a name is replaced, not a reason to fail.
    std::puts(json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

Exit report(const Session &session, const Outcome<Json> &reply, const std::string &done) {
    if (!reply)
        return complain(reply.error());
    if (session.json)
        print_json(*reply);
    else
        std::puts(clipped(done, 400).c_str());
    return Exit::ok;
}

const Json &member(const Json &object, const char *key) {
    static const Json kNull;
    if (!object.is_object())
        return kNull;
    const auto found = object.find(key);
    return found == object.end() ? kNull : *found;
}

const Json &array_of(const Json &object, const char *key) {
    static const Json kEmpty = Json::array();
    const Json &value = member(object, key);
    return value.is_array() ? value : kEmpty;
}

double number_of(const Json &object, const char *key, double otherwise) {
    const Json &value = member(object, key);
    return value.is_number() ? value.get<double>() : otherwise;
}

std::string text_of(const Json &object, const char *key, const std::string &otherwise) {
    const Json &value = member(object, key);
    return value.is_string() ? value.get<std::string>() : otherwise;
}

bool bool_of(const Json &object, const char *key, bool otherwise) {
    const Json &value = member(object, key);
    return value.is_boolean() ? value.get<bool>() : otherwise;
}

} // namespace tidemark::cli
