default_scope = 'mmpose'
custom_imports = dict(imports=['projects.grouppose'])
# refuses what cannot come out right, in MMPose's own tools too
runner_type = 'mmpose.SafeRunner'

# hooks
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='AtomicCheckpointHook',  # a kill or a full disk loses nothing
        interval=1,
        max_keep_ckpts=3,
        save_best='coco/AP',
        rule='greater'),
    # 'skip' leaves such steps out, see GradientGuardHook
    gradient_guard=dict(type='GradientGuardHook', action='stop'),
    # warns of more people than queries, refuses evaluators that do not fit
    fit_check=dict(type='FitCheckHook'),
    # before training, too: annotations that cannot be evaluated
    evaluation_check=dict(type='EvaluationCheckHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='InputVisualizationHook', enable=False))
# seeds augmentations, too: a resumed run ends like an unbroken one
custom_hooks = [dict(type='EpochSeedHook')]

# multi-processing backend
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

# visualizer
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='PoseVisualizer', vis_backends=vis_backends, name='visualizer')

# logger
log_processor = dict(
    type='LogProcessor', window_size=50, by_epoch=True, num_digits=6)
log_level = 'INFO'
load_from = None
resume = False

# file I/O backend
backend_args = dict(backend='local')
