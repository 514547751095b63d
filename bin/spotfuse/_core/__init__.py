"""What every room stands on: errors, guarded files, names, tables of steps, arrays on CPU and GPU."""
