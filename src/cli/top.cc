// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/commands.h"
#include "cli/screen.h"
#include "cli/top_frame.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <unistd.h>

namespace tidemark::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::string host_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string clock_text() {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::array<char, 16> text{};
    std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
    return text.data();
}

Outcome<TopData> ask(Api &api) {
    const auto status = api.get("/api/v1/status");
    if (!status)
        return tl::unexpected<Failure>(status.error());
    const auto guests = api.list("/api/v1/guests");
    if (!guests)
        return tl::unexpected<Failure>(guests.error());
    const auto tiers = api.list("/api/v1/tiers");
    if (!tiers)
        return tl::unexpected<Failure>(tiers.error());
    TopData data;
    data.host = host_name();
    data.budget = budget_of(*status);
    data.guests = guest_rows(*guests);
    for (const Json &tier : *tiers)
        data.tiers.push_back(tier_row(tier));
    return data;
}

Exit print_once(const Session &session, Api &api, const TopOptions &options) {
    const auto data = ask(api);
    if (!data)
        return complain(data.error());
    if (session.json) {
        const auto guests = api.list("/api/v1/guests");
        if (!guests)
            return complain(guests.error());
        print_json(*guests);
        return Exit::ok;
    }
    TopView view;
    view.columns = 132;
    view.sort = options.sort;
    view.all = true;
    view.clock = clock_text();
    for (const std::string &line : top_frame(*data, view)) {
        std::string text = line;
        text.erase(text.find_last_not_of(' ') + 1);
        std::puts(text.c_str());
    }
    return Exit::ok;
}

// False: quit.
bool follow_key(const std::string &key, const TopData &data, TopView &view) {
    const std::size_t page = guests_that_fit(data, view);
    const std::size_t most = data.guests.size() > page ? data.guests.size() - page : 0;
    const auto down = [&](std::size_t n) { view.first = std::min(view.first + n, most); };
    const auto up = [&](std::size_t n) { view.first -= std::min(view.first, n); };
    if (key == "q")
        return false;
    if (key == "d" || key == "f" || key == "l" || key == "n")
        view.sort = key == "d" ? "dram" : key == "f" ? "faults" : key == "l" ? "latency" : "name";
    else if (key == "down")
        down(1);
    else if (key == "up")
        up(1);
    else if (key == "page-down" || key == " ")
        down(page);
    else if (key == "page-up")
        up(page);
    else if (key == "home")
        view.first = 0;
    else if (key == "end")
        view.first = most;
    return true;
}

} // namespace

Exit run_top(const Session &session, const TopOptions &options) {
    Api api(session);
    if (options.once || session.json)
        return print_once(session, api, options);
    auto screen = Screen::open();
    if (!screen)
        return complain({Exit::usage, screen.error().sentence, 0});
    TopData data;
    data.host = host_name();
    TopView view;
    view.sort = options.sort;
    view.colour = true;
    const auto interval = std::chrono::milliseconds(static_cast<int>(options.interval_s * 1000));
    auto next = Clock::now();
    while (true) {
        if (Clock::now() >= next) {
            if (auto fresh = ask(api))
                data = std::move(*fresh);
            else
                data.problem = fresh.error().sentence; // the last numbers stay in sight
            view.clock = clock_text();
            next = Clock::now() + interval;
        }
        view.columns = screen->columns();
        view.rows = screen->rows();
        screen->draw(top_frame(data, view));
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
        const Screen::Input input = screen->wait(std::max(left, std::chrono::milliseconds(0)));
        if (input.event == Screen::Event::quit ||
            (input.event == Screen::Event::key && !follow_key(input.key, data, view)))
            return Exit::ok;
    }
}

} // namespace tidemark::cli
