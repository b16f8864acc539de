// The CPU backend: backend.h's functions.
#pragma once
#define DGR_BACKEND cpu
#include "../backend.h"
