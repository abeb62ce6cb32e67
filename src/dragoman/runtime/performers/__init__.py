"""One function an effect: what is done in the world. Each may be performed again after a crash, and knows it."""
