// SPDX-License-Identifier: GPL-2.0-or-later
//
// The recurrent network (heat_network.h) as a predictor of pages. Windows add up to steps of one second; of a region
// that is about to become hot, the 64 KiB blocks are named that were used when it was hot last. Once per horizon.
//
// Memory: 560 bytes a region of 2 MiB (0.03 %) up to 8 GiB, 40 bytes for each beyond; and 60 KiB.
#pragma once

#include "predict/heat_network.h"
#include "predict/predictor.h"

#include <memory>

namespace tidemark {

// Whether it is on unless told otherwise. README.md has the table this goes by.
inline constexpr bool kNetworkDefault = true;

class Network final : public Predictor {
  public:
    static constexpr std::uint32_t kShortest = 5, kLongest = 30; // seconds of horizon

    // Fails with a sentence if the horizon is not between the two. budget: multiply-adds a second.
    static Result<std::unique_ptr<Network>> make(std::uint32_t pages, std::uint32_t horizon,
                                                 std::uint64_t budget = HeatNetwork::kBudget,
                                                 std::uint32_t seed = 1);

    Origin origin() const override { return Origin::network; }
    std::string_view name() const override { return "network"; }
    void observe(const Window &window) override;
    void expect(std::vector<Expectation> &out) override;
    // Pages of DRAM that are free. Nothing is named while there are none, or this is not known.
    void set_room(std::uint32_t pages) { room_ = pages; }
    // Of what save() gave, in seconds.
    static Result<std::uint32_t> horizon_of(std::span<const std::byte> bytes);
    // For guests of any size, with the same horizon.
    std::vector<std::byte> save() const override;
    Result<void> restore(std::span<const std::byte> bytes) override;
    std::size_t bytes() const override;

    const HeatNetwork &forecaster() const { return heat_network_; }

  private:
    // What was used of a region, a bit per 64 KiB.
    struct Region {
        std::uint32_t lately = 0, before = 0; // since it became hot last; the time before that
        float heat = 0;                       // of the step that is under way
        bool hot = false;                     // in the last step
        std::uint32_t silent_until = 0;       // step in which it may be named again
    };

    Network(std::uint32_t pages, std::uint32_t horizon, std::uint64_t budget, std::uint32_t seed);
    void step();
    struct Candidate {
        std::uint32_t region = 0, blocks = 0;
        float confidence = 0;
    };
    Candidate candidate(std::uint32_t region, const HeatForecast &forecast) const;
    void name(const Candidate &chosen, std::vector<Expectation> &out) const;

    std::uint32_t pages_, room_ = 0;
    std::vector<Region> regions_;
    std::vector<Candidate> candidates_; // scratch
    std::vector<float> heat_;           // scratch
    HeatNetwork heat_network_;
    double now_ = 0, spent_ = 0; // end of the last window; seconds of the step that is under way
    std::uint32_t steps_ = 0;
    bool restored_ = false; // so there is something to save, whatever has been seen since
    bool fresh_ = false;    // there was a step since the last expect()
};

} // namespace tidemark
