"""How CPU threads wait for each other. Import it before PyTorch, which reads
the setting when it is loaded.

A step of a small network meets its threads thousands of times. GNU's OpenMP
lets a thread that has to wait spin for 300,000 rounds first: the fastest on an
idle machine, but where other programs want the processors, threads spin in the
place of those they wait for. A thousand rounds cost little in the first case
and save most in the second, see docs/performance.md. What a user sets
prevails.
"""
import os

SPIN_COUNT = '1000'

if not {'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'} & os.environ.keys():
    os.environ['GOMP_SPINCOUNT'] = SPIN_COUNT
