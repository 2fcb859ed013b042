"""What tests share: priors, models, pictures, commands, the page and its browser."""
