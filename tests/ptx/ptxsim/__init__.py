"""An interpreter of the PTX that nvcc makes of csrc/cuda, and of the host code that launches it.

    host.py           csrc/cuda compiled by nvcc: PTX, and a library of the host code beside a stand-in of the
                      CUDA runtime (runtime.cpp) that hands every launch to Python; operators.cpp: its
                      entrances
    parse.py          the text of a kernel as instructions, registers, parameters
    memory.py         device and shared memory: bounds, alignment, reads of what was never written
    races.py          accesses that no barrier orders
    banks.py          bank conflicts of shared memory
    machine.py        threads in lockstep, the lowest program counter first; divergence and barriers
    arithmetic.py, movement.py, exchange.py, tensor.py
                      what instructions do: numbers; loads, stores, copies and atomics; within a warp; tensor
                      cores
    counts.py         warp instructions of a launch, as issue slots
    interpreter.py    launches, a few blocks side by side
    gpu.py            calls of the operators, their arrays in device memory

Written from NVIDIA's PTX ISA manual. Not modelled: time, caches, memory ordering between blocks, the order of
additions in tensor cores, float64 beyond what the operators of float32 use, wgmma and TMA.
"""
