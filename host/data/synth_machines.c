/* synth_machines.c - the table of machines. A new machine is one function and one row.
 *
 * fault_gain, snr_offset_db and shift_db set how hard a machine is; docs/synth.md has the scores
 * they were set by. Attributes follow the real development set: some machines show speed and load
 * in their names, others hide them, and target operating points differ from the source's.
 */
#include "data/synth_parts.h"

const synth_machine synth_machines[] = {
    {.name       = "ToyCar",
     .render     = synth_toycar,
     .fault_gain = 0.45,
     .shift_db   = -0.5,
     .fault      = {"worn wheel", "loose rattle", "bent axle"},
     .source     = {{"car_A1_spd_2", 0.92, 1.0},
                    {"car_A1_spd_3", 1.0, 1.0},
                    {"car_A2_spd_2", 0.92, 1.1},
                    {"car_A2_spd_3", 1.0, 1.1}},
     .target     = {{"car_B1_spd_1", 0.9, 1.05}, {"car_B1_spd_4", 1.02, 1.05}}},
    {.name             = "bearing",
     .render           = synth_bearing,
     .hides_attributes = 1,
     .fault_gain       = 0.9,
     .shift_db         = -1,
     .fault            = {"outer race", "inner race", "ball"},
     .source           = {{"vel_1", 0.9, 1.0}, {"vel_2", 1.0, 1.0}, {"vel_3", 1.1, 1.0}},
     .target           = {{"vel_4", 1.14, 1.05}, {"vel_5", 0.86, 1.05}}},
    {.name       = "fan",
     .render     = synth_fan,
     .fault_gain = 0.48,
     .shift_db   = -1, /* as in the real fan, both domains run at the same speeds */
     .fault      = {"imbalance", "broken blade", "blocked outlet"},
     .source     = {{"spd_1", 0.88, 1.0}, {"spd_2", 1.0, 1.0}, {"spd_3", 1.12, 1.0}},
     .target     = {{"spd_1", 0.88, 1.1}, {"spd_2", 1.0, 1.1}, {"spd_3", 1.12, 1.1}}},
    {.name       = "gearbox",
     .render     = synth_gearbox,
     .fault_gain = 0.55,
     .shift_db   = -1,
     .fault      = {"cracked tooth", "worn flanks", "misalignment"},
     .source     = {{"spd_1_load_1", 0.9, 0.8},
                    {"spd_1_load_2", 0.9, 1.0},
                    {"spd_2_load_1", 1.0, 0.8},
                    {"spd_2_load_2", 1.0, 1.0}},
     .target     = {{"spd_3_load_1", 0.96, 0.8}, {"spd_3_load_3", 0.96, 1.1}}},
    {.name             = "slider",
     .render           = synth_slider,
     .hides_attributes = 1,
     .fault_gain       = 1.5,
     .shift_db         = -0.5,
     .fault            = {"friction", "irregular stroke", "rail damage"},
     .source           = {{"vel_1", 0.9, 1.0}, {"vel_2", 1.05, 1.0}},
     .target           = {{"vel_3", 0.98, 1.0}}},
    {.name             = "valve",
     .render           = synth_valve,
     .hides_attributes = 1,
     .fault_gain       = 1.9,
     .shift_db         = -0.5,
     .fault            = {"leak", "sticking plunger", "worn seat"},
     .source           = {{"pat_1", 0.9, 1.0}, {"pat_2", 1.05, 1.0}},
     .target           = {{"pat_3", 1.1, 0.97}}},
};

const int synth_n_machines = sizeof synth_machines / sizeof *synth_machines;
