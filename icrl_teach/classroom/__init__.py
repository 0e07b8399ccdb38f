"""A class: sheets given out, taken in, graded, told and exported, on top of nbgrader's folders and gradebook.

`folder` knows where things lie, `roster` who is in the class, `uploads` how learning platforms name files; `gradebook`
is all that touches nbgrader. The steps of `icrl-teach class` are in `setup` (new, assign), `collect`, `grade`,
`feedback` and `exports`. Each may be repeated, and stopped at any moment.
"""
