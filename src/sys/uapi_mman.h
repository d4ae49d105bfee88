// SPDX-License-Identifier: GPL-2.0-or-later
//
// Advice to the kernel about memory that older C libraries have no name for. Whether the running kernel
// knows it is asked at run time.
#pragma once

#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
