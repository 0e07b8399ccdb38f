"""The pure draw functions behind the lessons' widgets, one module a lesson: dial values in, one View out."""
