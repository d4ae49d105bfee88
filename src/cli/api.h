// SPDX-License-Identifier: GPL-2.0-or-later
//
// The daemon's REST interface as the commands use it: JSON in, JSON out, names for UUIDs, and what
// went wrong as one sentence with the code that the program ends with.
#pragma once

#include "cli/session.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace tidemark::cli {

using Json = nlohmann::json;

struct Failure {
    Exit exit = Exit::failed;
    std::string sentence;
    unsigned status = 0; // HTTP's, if the daemon answered
};
template <typename T> using Outcome = tl::expected<T, Failure>;

class Api {
  public:
    explicit Api(const Session &session) : session_(session) {}

    // `etag`: the request is only for the resource as it was then. The reply's own goes to
    // *etag_out. A reply without a body is null.
    Outcome<Json> send(std::string_view method, const std::string &target, const Json &body,
                       const std::string &etag = {}, std::string *etag_out = nullptr);
    Outcome<Json> get(const std::string &target, std::string *etag_out = nullptr);
    // All items of a list, page after page; at most kItemsMost.
    Outcome<Json> list(const std::string &target);
    static constexpr std::size_t kItemsMost = 100000;

    // The UUID of what is named so. A UUID is taken as it is; a name that several bear is refused.
    Outcome<std::string> guest_uuid(const std::string &name);
    Outcome<std::string> group_uuid(const std::string &name);

  private:
    Outcome<std::string> socket();
    Outcome<std::string> uuid_of(const std::string &name, const char *list, const char *uuid_key,
                                 const char *what);

    const Session &session_;
    std::string socket_;
};

// "tidemark: sentence" on stderr.
Exit complain(const Failure &failure);
void print_json(const Json &json);
// The end of a command that changes something: the answer with --json, else `done`, or why not.
Exit report(const Session &session, const Outcome<Json> &reply, const std::string &done);

// Members that may be absent or of another type: the value, else the default. A daemon of another
// version must not end a command with an exception.
double number_of(const Json &object, const char *key, double otherwise = 0);
std::string text_of(const Json &object, const char *key, const std::string &otherwise = {});
bool bool_of(const Json &object, const char *key, bool otherwise = false);
const Json &member(const Json &object, const char *key); // null if absent
const Json &array_of(const Json &object, const char *key);

} // namespace tidemark::cli
