"""Statistics: accesses are counted, and told without saying who a viewer was."""
